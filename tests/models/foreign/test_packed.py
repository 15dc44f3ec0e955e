"""Archives of `torch.export` and TorchScript compute as a `Classifier` what the exported model computes."""

import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gmbench.models.foreign.load import ForeignError, load_foreign

from .foreign_nets import Planted, check, images, made


def export(model: nn.Module, path: Path, *, batch: bool = True, x: Tensor | None = None) -> str:
    shapes = ({0: torch.export.Dim("batch")},) if batch else None
    torch.export.save(
        torch.export.export(model, (images(8, count=2) if x is None else x,), dynamic_shapes=shapes), path
    )
    return str(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    export(made(), path)
    return path


def test_pt2(archive: Path) -> None:
    name = str(archive)
    classifier = load_foreign(name)
    assert classifier.shape == (3, 8, 8)
    check(classifier, images(8), made()(images(8)), None)
    assert load_foreign(f"pt2:{name}").fingerprint == classifier.fingerprint


def test_pt2_for_a_fixed_number_of_images(tmp_path: Path) -> None:
    with pytest.raises(
        ForeignError,
        match=r"expected net.pt2 to take any number of images, got a program for 2; export it with",
    ):
        load_foreign(export(made(), tmp_path / "net.pt2", batch=False))


def test_pt2_that_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"expected net.pt2 to take images .*, got 2 dimensions"):
        load_foreign(export(nn.Linear(4, 3).eval(), tmp_path / "net.pt2", x=torch.rand(2, 4)))


def test_pt2_with_a_flipped_bit_is_refused(tmp_path: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        place = next(entry for entry in content.infolist() if entry.filename.endswith("weight_0"))
    spoilt = bytearray(archive.read_bytes())
    spoilt[place.header_offset + 30 + len(place.filename) + 80] ^= 1
    (tmp_path / "net.pt2").write_bytes(spoilt)
    with pytest.raises(ForeignError, match=r"net.pt2 is damaged: the checksum of .*weight_0 does not fit"):
        load_foreign(str(tmp_path / "net.pt2"))


def test_pt2_with_a_damaged_directory_is_one_line(tmp_path: Path, archive: Path) -> None:
    before, _, after = archive.read_bytes().rpartition(b"PK\x01\x02")
    (tmp_path / "net.pt2").write_bytes(before + b"PK\x01\x03" + after)
    with pytest.raises(ForeignError, match=r"net.pt2 does not load: BadZipFile") as caught:
        load_foreign(str(tmp_path / "net.pt2"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "entry", ["constants/opaque_obj_0", "constants/custom_obj_0", "aotinductor/model/model.so"]
)
def test_pt2_with_more_than_tensors_is_refused(tmp_path: Path, archive: Path, entry: str) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(path, "a") as content:
        content.writestr(f"net/data/{entry}", pickle.dumps(Planted()))
    with pytest.raises(
        ForeignError, match=r"hold a graph and tensors, got also .*which could run code: refused"
    ):
        load_foreign(str(path))


@pytest.mark.parametrize("script", [False, True])
def test_torchscript(tmp_path: Path, script: bool) -> None:
    model, path = made(), tmp_path / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates what users still have
        program = torch.jit.script(model) if script else torch.jit.trace(model, images(8))
        torch.jit.save(program, path)
        torch.jit.save(program, tmp_path / "net.ts")
    classifier = load_foreign(f"torchscript:{path}")
    assert classifier.shape is None
    check(classifier, images(8), model(images(8)), None)
    assert load_foreign(str(tmp_path / "net.ts")).classes == 5


@pytest.mark.parametrize("name", ["net.pt2", "torchscript:net.pt", "zip.pt2", "torchscript:zip.pt2"])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    kind, colon, file = name.rpartition(":")
    torch.save({"a": torch.ones(1)}, tmp_path / "zip.pt2")  # an archive of another kind
    for damaged in ("net.pt2", "net.pt"):
        (tmp_path / damaged).write_bytes(b"nothing")
    with pytest.raises(ForeignError, match=f"{file} (is no archive of torch.export|does not load)") as caught:
        load_foreign(f"{kind}{colon}{tmp_path / file}")
    assert "\n" not in str(caught.value)
    assert not caplog.records
