"""Decoding: modes, alpha on white, torchvision's sizes, many at once, and what is kept of large sets."""

import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from gmbench.benchmark.data import kept
from gmbench.benchmark.data.decode import AS_IS, Decoding, stack_images
from gmbench.benchmark.data.folder import FolderImages
from gmbench.benchmark.data.image_set import DataError

from .made_data import random_images


def decoded(image: Image.Image, folder: Path, decoding: Decoding = AS_IS, suffix: str = "png") -> np.ndarray:
    image.save(folder / f"one.{suffix}")
    return stack_images([(0, "one", folder / f"one.{suffix}")], 1, decoding)[0].numpy()


# Modes and alpha


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("wanted", ["RGB", "L"])
def test_every_mode_becomes_the_one_that_is_asked_for(mode: str, wanted: str, tmp_path: Path) -> None:
    image = Image.fromarray(random_images(1, (6, 5))[0]).convert(mode)
    found = decoded(image, tmp_path, Decoding(mode=wanted))
    assert found.shape == ({"RGB": 3, "L": 1}[wanted], 6, 5)
    grey = np.asarray(image.convert("RGB").convert("L"))
    assert all(np.array_equal(channel, grey) for channel in found)


@pytest.mark.parametrize(
    ("decoding", "message"),
    [
        ({"mode": "rgb"}, "no mode named 'rgb'; did you mean 'RGB'?"),
        ({"resize": 0}, "expected resize to be at least 1 pixel, got 0"),
        ({"crop": -1}, "expected crop to be at least 1 pixel, got -1"),
    ],
)
def test_a_wrong_decoding_is_refused(decoding: dict, message: str) -> None:
    with pytest.raises(ValueError, match=r"^" + message.replace("?", r"\?") + "$"):
        Decoding(**decoding)


def test_alpha_is_seen_on_white(tmp_path: Path) -> None:
    picture = random_images(1, (6, 5))[0]
    drawn = Image.new("RGBA", (5, 6))  # black all over: the picture is in the alpha channel alone
    drawn.putalpha(Image.fromarray(picture))
    found = decoded(drawn, tmp_path)
    assert np.array_equal(found, np.broadcast_to(255 - picture, (3, 6, 5)))
    grey = decoded(drawn.convert("LA"), tmp_path)
    assert np.array_equal(grey, np.broadcast_to(255 - picture, grey.shape))
    opaque = Image.fromarray(random_images(1)[0])
    assert np.array_equal(decoded(opaque.convert("RGBA"), tmp_path), decoded(opaque, tmp_path))


def test_white_on_white_is_refused(tmp_path: Path) -> None:
    image = Image.new("RGBA", (5, 6), "white")
    image.putalpha(Image.fromarray(random_images(1, (6, 5))[0]))
    with pytest.raises(DataError, match="whose picture is in its alpha channel alone: one"):
        decoded(image, tmp_path)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 0
    assert decoded(image, tmp_path)[:, 0].T.tolist() == [[255, 255, 255], [200, 10, 10]]


# Sizes


@pytest.mark.parametrize("size", [(50, 31), (31, 50), (40, 40), (33, 32)])
@pytest.mark.parametrize(("resize", "crop"), [(32, 28), (45, 45), (20, 13), (None, 17), (24, None)])
def test_resize_and_crop_are_torchvisions(
    size: tuple[int, int], resize: int | None, crop: int | None, tmp_path: Path
) -> None:
    image = Image.fromarray(random_images(1, (*size, 3))[0])
    expected = image if resize is None else functional.resize(image, [resize])
    expected = expected if crop is None else functional.center_crop(expected, [crop])
    found = decoded(image, tmp_path, Decoding(resize=resize, crop=crop))
    assert np.array_equal(found, np.asarray(expected).transpose(2, 0, 1))


def test_a_crop_that_is_larger_than_the_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 7 pixels high and wide to be cropped, got 6x5: one"):
        decoded(Image.new("L", (5, 6)), tmp_path, Decoding(crop=7))


# Many


def test_every_image_is_in_its_row_whatever_thread_decodes_it(tmp_path: Path) -> None:
    images = random_images(700, (5, 4))
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    order = np.random.default_rng(0).permutation(700)
    x = stack_images(((int(row), str(row), tmp_path / f"{row}.png") for row in order), 700)
    assert np.array_equal(x[:, 0], np.stack(images))


# What is kept

Folder = namedtuple("Folder", "path load images")


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder of images that is large by a limit of 100 bytes, and how to load its test split."""
    monkeypatch.setattr(kept, "LARGE", 100)
    monkeypatch.setenv("GMBENCH_IMAGES", str(tmp_path / "cache"))
    path = tmp_path / "images"
    for i, image in enumerate(random_images(8)):
        file = path / ("train", "test")[i % 2] / ("cat", "dog")[i // 2 % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return Folder(path, lambda: FolderImages("own", path).load("test", tmp_path), tmp_path / "cache")


def test_a_large_set_is_decoded_once(large: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = large.load()
    [file] = large.images.iterdir()
    assert file.suffix == ".npy"
    monkeypatch.setattr("gmbench.benchmark.data.decode._decode", None)  # decodes nothing again
    again = large.load()
    assert again.checksum == first.checksum
    assert torch.equal(again.x, first.x)
    again.x[0] = 0  # this process's own
    assert large.load().checksum == first.checksum


def test_what_is_kept_and_damaged_is_made_again(large: Folder) -> None:
    first = large.load()
    [file] = large.images.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:-80] + b"\1" + whole[-79:], b"", whole[:40]):
        file.write_bytes(damaged)
        assert large.load().checksum == first.checksum
        assert file.read_bytes() == whole


def test_what_is_kept_and_stale_is_made_again(large: Folder) -> None:
    first = large.load()
    image = next(large.path.glob("test/cat/*.png"))
    Image.fromarray(random_images(1, seed=1)[0]).save(image)
    os.utime(image, ns=(1, 1))
    changed = large.load()
    assert changed.checksum != first.checksum
    assert len(list(large.images.iterdir())) == 1


def test_a_small_set_is_not_kept(large: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LARGE", 10_000)
    large.load()
    assert not large.images.exists()


def test_a_full_or_closed_disk_is_one_line(large: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda _: usage(0, 0, 100))
    with pytest.raises(DataError, match=r"to have 0.0 GB free for decoded images, .*GMBENCH_IMAGES"):
        large.load()
    monkeypatch.setenv("GMBENCH_IMAGES", str(next(large.path.glob("test/cat/*.png"))))
    with pytest.raises(
        DataError, match=r"^cannot keep decoded images in .*: .*; another place: GMBENCH_IMAGES$"
    ):
        large.load()


def test_a_failed_decoding_leaves_nothing_behind(large: Folder) -> None:
    file = max(large.path.glob("test/*/*.png"))
    file.write_bytes(b"no PNG")
    with pytest.raises(DataError, match="cannot read the image"):
        large.load()
    assert list(large.images.iterdir()) == []
