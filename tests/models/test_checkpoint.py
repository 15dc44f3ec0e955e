"""Checkpoints come back bit for bit or not at all."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from gmbench.models import (
    HEADS,
    Card,
    CheckpointError,
    Classifier,
    Recipe,
    checkpoints,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from gmbench.models.checkpoint import ZOO
from gmbench.models.recipe import build_classifier

WEIGHTS, CARD = "tiny-s7.safetensors", "tiny-s7.json"


@pytest.fixture
def folder(classifier: Classifier, card: Card, tmp_path: Path) -> Path:
    """A folder that did not exist, with one checkpoint."""
    folder = tmp_path / "new" / "zoo"
    save_checkpoint(classifier, card, folder)
    return folder


@pytest.mark.parametrize("loss", list(HEADS))
def test_comes_back_bit_for_bit_in_evaluation_mode(loss: str, card: Card, tmp_path: Path) -> None:
    features = card.classes if loss == "gccs" else card.recipe.features
    recipe = card.recipe.model_copy(update={"loss": {"name": loss}, "features": features})
    saved = build_classifier(recipe, card.classes).train()
    with torch.no_grad():
        for value in saved.state_dict().values():  # buffers too must come back
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(0)))
    written = save_checkpoint(saved, card.model_copy(update={"recipe": recipe}), tmp_path)
    loaded, read = load_checkpoint(card.name, tmp_path)
    assert read == written
    assert not loaded.training
    before, after = saved.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(value.equal(after[name]) for name, value in before.items())
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(x), saved.eval()(x))


def test_parameters_in_half_precision_take_half_the_room_and_buffers_keep_theirs(
    card: Card, tmp_path: Path
) -> None:
    half = card.model_copy(
        update={"recipe": card.recipe.model_copy(update={"net": "cifar-resnet20-fc", "weights": "float16"})}
    )
    saved = build_classifier(half.recipe, half.classes)
    save_checkpoint(saved, half, tmp_path)
    stored = load((tmp_path / WEIGHTS).read_bytes())
    parameters = dict(saved.named_parameters())
    assert all(
        value.dtype == (torch.float16 if name in parameters else saved.state_dict()[name].dtype)
        for name, value in stored.items()
    )
    assert any(name.endswith("running_var") for name in stored)
    loaded, _ = load_checkpoint(card.name, tmp_path)
    for name, value in loaded.state_dict().items():
        assert value.dtype == saved.state_dict()[name].dtype
        assert value.equal(stored[name].to(value.dtype))


def test_saving_leaves_two_files_and_a_hash(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CARD, WEIGHTS]
    assert read_card("tiny-s7", folder).sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert checkpoints(folder) == ["tiny-s7"]


def test_loads_by_name_and_by_either_path(folder: Path) -> None:
    by_name = load_checkpoint("tiny-s7", folder)[1]
    assert load_checkpoint(folder / WEIGHTS)[1] == by_name
    assert load_checkpoint(folder / CARD)[1] == by_name
    assert load_checkpoint(str(folder / CARD))[1] == by_name


def test_loading_leaves_the_global_random_state(folder: Path) -> None:
    before = torch.get_rng_state()
    load_checkpoint("tiny-s7", folder)
    assert torch.get_rng_state().equal(before)


def test_card_tells_all_that_was_promised(folder: Path) -> None:
    text = json.loads((folder / CARD).read_text())
    assert set(text["recipe"]) == set(Recipe.model_fields)
    assert text["recipe"]["loss"] == {"name": "softmax"}
    assert {key: text[key] for key in text.keys() - {"recipe", "sha256", "card_sha256"}} == {
        "name": "tiny-s7",
        "classes": 3,
        "shape": [1, 8, 8],
        "seed": 7,
        "epochs": 3,
        "data_checksum": "0" * 64,
        "train_images": 20,
        "validation_accuracy": 0.5,
        "test_accuracy": 0.25,
        "seconds": 1.5,
        "machine": "none",
        "measurements": None,
        "licence": "MIT",
        "note": "",
    }
    card = read_card("tiny-s7", folder)
    assert (card.loss, card.data) == ("softmax", "noise")


def refusal(name: str | Path, folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(name, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_flipped_bit_is_found(folder: Path, place: int) -> None:
    damaged = bytearray((folder / WEIGHTS).read_bytes())
    damaged[place] ^= 1
    (folder / WEIGHTS).write_bytes(damaged)
    assert refusal("tiny-s7", folder).startswith(f"expected {WEIGHTS} to have the sha256 ")
    assert refusal("tiny-s7", folder).endswith(": the file is damaged; restore or retrain it")


@pytest.mark.parametrize("length", [0, 7, 1000])
def test_truncated_weights_are_found(folder: Path, length: int) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length])
    assert refusal("tiny-s7", folder).startswith(f"expected {WEIGHTS} to have the sha256 ")


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert refusal("tiny-s7", folder) == f"no weights at {folder / WEIGHTS}"


def test_missing_card_is_named(folder: Path) -> None:
    assert refusal(folder / "none.safetensors", folder) == f"no checkpoint card at {folder / 'none.json'}"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("{", "", "tiny-s7.json is damaged: invalid JSON: "),
        (
            '"seed": 7',
            '"seed": "x"',
            "tiny-s7.json is damaged: expected 'seed' to be a valid integer, got 'x'",
        ),
        ('"seed": 7,', "", "tiny-s7.json is damaged: expected a key 'seed'"),
        ('"seed": 7', '"sed": 7', "tiny-s7.json is damaged: no key named 'sed'; did you mean 'seed'?"),
        (
            '"lr": 0.05',
            '"lr": -1',
            ("tiny-s7.json is damaged: expected 'recipe.lr' to be greater than 0, got -1"),
        ),
        (
            '"classes": 3',
            '"classes": 4',
            "tiny-s7.safetensors does not fit the network of its card: size mismatch for head.linear.bias",
        ),
        (
            '"digits-mlp"',
            '"digits-mpl"',
            "tiny-s7.safetensors does not fit the network of its card: no net named 'digits-mpl'; did you",
        ),
        ('"softmax"', '"lgm"', "tiny-s7.safetensors does not fit the network of its card: "),
    ],
)
def test_damaged_card_gets_one_short_line(folder: Path, right: str, wrong: str, message: str) -> None:
    told = json.loads((folder / CARD).read_text())
    del told["card_sha256"]  # with it no edit comes so far
    text = json.dumps(told, indent=2)
    assert right in text
    (folder / CARD).write_text(text.replace(right, wrong, 1))
    assert refusal("tiny-s7", folder).startswith(message)
    assert len(refusal("tiny-s7", folder)) < 250


class Bomb:
    """What a pickled checkpoint could do to the machine that loads it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_pickled_weights_are_refused_and_not_unpickled(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "unpickled"
    pickled = pickle.dumps(Bomb(trace))
    pickle.loads(pickled)  # noqa: S301 - the bomb is live
    trace.unlink()
    (folder / WEIGHTS).write_bytes(pickled)
    assert "sha256" in refusal("tiny-s7", folder)
    card = read_card("tiny-s7", folder).model_copy(update={"sha256": hashlib.sha256(pickled).hexdigest()})
    (folder / CARD).write_text(card.model_dump_json())  # even where the card vouches for it
    assert refusal("tiny-s7", folder).startswith(f"{WEIGHTS} is no file of safetensors: ")
    assert not trace.exists()


def test_pickled_tensors_load_by_their_path_and_a_pickled_bomb_does_not(folder: Path, tmp_path: Path) -> None:
    path = folder / "tiny-s7.pt"

    def vouch() -> None:
        card = read_card("tiny-s7", folder).model_copy(
            update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        )
        (folder / CARD).write_text(card.model_dump_json())

    expected = load_checkpoint("tiny-s7", folder)[0].state_dict()
    torch.save(expected, path)
    assert "sha256" in refusal(path, folder)
    vouch()
    loaded = load_checkpoint(path)[0].state_dict()
    assert all(value.equal(loaded[name]) for name, value in expected.items())
    trace = tmp_path / "unpickled"
    torch.save({"net": Bomb(trace)}, path)
    vouch()
    assert "which could run code, and is refused" in refusal(path, folder)
    assert not trace.exists()


def test_unknown_name_gives_the_nearest_and_what_to_do(folder: Path) -> None:
    expected = "no checkpoint named 'tiny-s8'; did you mean 'tiny-s7'? (train one with: gmbench train RECIPE)"
    assert refusal("tiny-s8", folder) == expected


def test_failed_saving_leaves_the_old_checkpoint(
    folder: Path, classifier: Classifier, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_checkpoint("tiny-s7", folder)[1]
    with torch.no_grad():
        next(classifier.parameters()).add_(1)

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(classifier, card, folder)
    assert load_checkpoint("tiny-s7", folder)[1] == before


def test_every_edit_of_a_card_is_seen_and_a_card_without_checksum_reads(folder: Path) -> None:
    path = folder / CARD
    content = path.read_text()
    sound = read_card("tiny-s7", folder)
    for old, new in (
        ('"test_accuracy": 0.25', '"test_accuracy": 0.26'),
        ('"seed": 7', '"seed": 8'),
        ('"machine": "none"', '"machine": "nine"'),
    ):
        assert old in content
        path.write_text(content.replace(old, new))
        with pytest.raises(CheckpointError, match="does not have its own checksum") as caught:
            read_card("tiny-s7", folder)
        assert "\n" not in str(caught.value)
    told = json.loads(content)
    path.write_text(json.dumps(told))  # laid out otherwise, and nothing else
    assert read_card("tiny-s7", folder) == sound
    del told["card_sha256"]
    path.write_text(json.dumps(told))
    assert read_card("tiny-s7", folder) == sound


def test_every_card_of_the_zoo_has_its_checksum() -> None:
    for name in checkpoints():
        assert "card_sha256" in json.loads((ZOO / f"{name}.json").read_text()), name
