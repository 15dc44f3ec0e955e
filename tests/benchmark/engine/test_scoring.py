"""Detectors are fitted on train alone, scored once, and one that fails spoils no other."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ThreatModel
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.cell import Cell, run_cell
from gmbench.benchmark.engine.defense import Entrant, entrant_from_checkpoint
from gmbench.benchmark.engine.scoring import Fitting, detectors_for, score_cells, score_description
from gmbench.benchmark.engine.store import Store
from gmbench.detectors import Detector
from gmbench.detectors.detector import OWN
from gmbench.models import Classifier, Outputs

Splits = dict[str, ImageSet]


class Spy(Detector):
    """Notes what it is fitted on; its scores count the calls."""

    def __init__(self) -> None:
        self.seen: list[tuple[Outputs, Tensor]] = []

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        self.seen.append((outputs, y))

    def score(self, outputs: Outputs) -> Tensor:
        return outputs.features.sum(1)


@dataclass
class Broken(Detector):
    """Fails in one of the ways that there are."""

    how: str = ""

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        if self.how == "fit":
            raise RuntimeError("no fit today")

    def score(self, outputs: Outputs) -> Tensor:
        scores = outputs.logits.amax(1)
        one_nan = torch.where(torch.arange(len(scores)) == 3, torch.nan, scores)
        wrong = {
            "nan": scores * torch.nan,
            "one-nan": one_nan,
            "infinite": scores / 0,
            "shape": scores.unsqueeze(1),
        }
        return wrong.get(self.how, scores)


@dataclass
class Layered(Detector):
    """Notes which layers it is shown."""

    layers = ("stage2",)

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        self.seen_ = (sorted(outputs.layers), outputs.x.numel())

    def score(self, outputs: Outputs) -> Tensor:
        return outputs.layers["stage2"].flatten(1).mean(1)


class Everything(Layered):
    """Asks for all layers."""

    layers: ClassVar = "all"


class Asking(Layered):
    """Looks at other images."""

    layers = ()
    needs_model = True

    def score(self, outputs: Outputs) -> Tensor:
        return self.model(1 - outputs.x).amax(1)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return {split: load_data("digits", split).head(60) for split in ("train", "validation", "test")}


@pytest.fixture(scope="module")
def entrant() -> Entrant:
    return entrant_from_checkpoint("digits-softmax-s0")


@pytest.fixture
def cells(splits: Splits, entrant: Entrant, tmp_path: Path) -> list[Cell]:
    shared: dict[str, Any] = {
        "attack": None,
        "options": {},
        "threat": None,
        "surrogate": None,
        "known": None,
        "seed": 0,
        "batch": 32,
        "device": "cpu",
    }
    planned = [
        Cell(
            entrant.name,
            entrant.fingerprint,
            "digits",
            splits[split].checksum,
            split,
            samples,
            "clean",
            **shared,
        )
        for split, samples in (("validation", 60), ("test", 20))
    ]
    for cell in planned:
        Store(tmp_path).write(run_cell(cell, entrant, None, splits[cell.split]))
    return planned


def test_detectors_see_the_training_split_and_nothing_else(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    spy = Spy()
    assert score_cells(Fitting(entrant, {"spy": spy}, splits["train"]), cells, Store(tmp_path), splits) == {}
    ((outputs, y),) = spy.seen
    assert torch.equal(y, splits["train"].y)
    expected = entrant.classifier.features(splits["train"].images())
    torch.testing.assert_close(outputs.features, expected)
    assert outputs.x.numel() == 0  # the images are dropped: memory
    assert not outputs.features.requires_grad
    for cell in cells:
        entry = Store(tmp_path).read(score_description(cell, "spy", spy, splits["train"]))
        assert entry is not None
        assert entry.table["id"].tolist() == splits[cell.split].ids[: cell.samples].tolist()
        own = entrant.classifier.features(splits[cell.split].images(slice(0, cell.samples))).sum(1)
        torch.testing.assert_close(
            torch.tensor(entry.table["score"].to_numpy()), own.detach(), rtol=1e-4, atol=1e-4
        )


def test_one_pass_serves_all_that_need_no_more(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    passes: list[int] = []
    hook = entrant.classifier.net.register_forward_hook(lambda _net, _x, value: passes.append(len(value)))
    layered, everything, asking = Layered(), Everything(), Asking().bind(entrant.classifier)
    together: dict[str, Detector] = {"spy": Spy(), "layered": layered, "everything": everything}
    try:
        assert score_cells(Fitting(entrant, together, splits["train"]), cells, Store(tmp_path), splits) == {}
        assert passes == [60, 60, 20]  # train, validation and test, each once
        passes.clear()
        score_cells(Fitting(entrant, {"asking": asking}, splits["train"]), cells, Store(tmp_path), splits)
        assert passes == [60, 60, 60, 20, 20]
    finally:
        hook.remove()
    alone = Everything()
    score_cells(Fitting(entrant, {"alone": alone}, splits["train"]), cells, Store(tmp_path), splits)
    assert alone.seen_ == everything.seen_
    # each sees what it declares, whatever else is in the suite
    assert layered.seen_ == (["stage2"], 0)
    assert everything.seen_ == (["stage1", "stage2"], 0)
    assert asking.seen_ == ([], 60 * 64)
    entry = Store(tmp_path).read(score_description(cells[1], "asking", asking, splits["train"]))
    assert entry is not None
    expected = entrant.classifier(1 - splits["test"].images(slice(0, 20))).amax(1)
    torch.testing.assert_close(torch.tensor(entry.table["score"].to_numpy()), expected.detach())


def test_detectors_are_built_for_what_a_model_offers(splits: Splits, entrant: Entrant) -> None:
    asking = Asking()
    assert list(detectors_for([], replace(entrant, detector=asking), splits["test"])) == [OWN]
    assert asking.model is entrant.classifier
    assert list(detectors_for([], replace(entrant, detector=Layered()), splits["test"])) == [OWN]
    plain = Classifier(nn.Flatten(), nn.Linear(64, 10)).eval()
    bare = replace(entrant, classifier=plain, detector=Layered())
    assert list(detectors_for(["msp"], bare, splits["test"])) == ["msp"]


def test_what_is_scored_is_not_scored_again(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    spy = Spy()
    for _ in range(2):
        score_cells(Fitting(entrant, {"spy": spy}, splits["train"]), cells, Store(tmp_path), splits)
    assert len(spy.seen) == 1


def test_a_cell_that_is_scored_ends_nothing(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    for found in (cells[:1], cells):
        score_cells(Fitting(entrant, {"spy": Spy()}, splits["train"]), found, Store(tmp_path), splits)
    assert all(
        Store(tmp_path).sound(score_description(cell, "spy", Spy(), splits["train"])) for cell in cells
    )


def test_attacked_images_are_those_that_were_judged(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    threat = ThreatModel("Linf", 0.1, access="decision")
    noisy = replace(cells[1], label="noise", attack="uniform-noise", threat=threat)
    entry = run_cell(noisy, entrant, None, splits["test"])
    Store(tmp_path).write(entry)
    assert (
        score_cells(Fitting(entrant, {"spy": Spy()}, splits["train"]), [noisy], Store(tmp_path), splits) == {}
    )
    scored = Store(tmp_path).read(score_description(noisy, "spy", Spy(), splits["train"]))
    assert scored is not None
    assert entry.images is not None
    rounded = (entry.images * 255).round() / 255  # what counts against a detector
    expected = entrant.classifier.features(rounded).sum(1)
    torch.testing.assert_close(
        torch.tensor(scored.table["score"].to_numpy()), expected.detach(), rtol=1e-4, atol=1e-4
    )
    assert scored.table["id"].tolist() == splits["test"].ids[:20].tolist()


def test_a_cell_without_its_images_is_told(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    threat = ThreatModel("Linf", 0.1, access="decision")
    noisy = replace(cells[1], label="noise", attack="uniform-noise", threat=threat)
    Store(tmp_path).write(replace(run_cell(noisy, entrant, None, splits["test"]), images=None))
    with pytest.raises(ValueError, match="to have images"):
        score_cells(Fitting(entrant, {"spy": Spy()}, splits["train"]), [noisy], Store(tmp_path), splits)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fit", "no fit today"),
        ("nan", "NaN or infinity for 60 of 60"),
        ("one-nan", "NaN or infinity for 1 of"),
        ("infinite", "NaN or infinity for 60 of 60"),
        ("shape", "expected scores of shape"),
    ],
)
def test_a_broken_detector_is_told_and_spoils_no_other(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path, how: str, message: str
) -> None:
    sound = Broken()
    failed = score_cells(
        Fitting(entrant, {"broken": Broken(how), "sound": sound}, splits["train"]),
        cells,
        Store(tmp_path),
        splits,
    )
    assert list(failed) == ["broken"]
    assert message in failed["broken"]
    assert all(
        Store(tmp_path).sound(score_description(cell, "sound", sound, splits["train"])) for cell in cells
    )
    assert not Store(tmp_path).sound(score_description(cells[0], "broken", Broken(how), splits["train"]))


def test_only_detectors_that_apply_are_built_and_the_own_comes_last(splits: Splits, entrant: Entrant) -> None:
    assert list(detectors_for(["likelihood", "msp"], entrant, splits["test"])) == ["msp"]
    assert list(detectors_for(["likelihood", "msp"], replace(entrant, detector=Spy()), splits["test"])) == [
        "msp",
        OWN,
    ]


def test_the_configuration_and_the_training_data_are_in_the_key(splits: Splits, cells: list[Cell]) -> None:
    base = score_description(cells[0], "broken", Broken(), splits["train"])
    assert score_description(cells[0], "broken", Broken("nan"), splits["train"]) != base
    assert score_description(cells[0], "broken", Broken(), splits["train"].head(50)) != base
    assert score_description(cells[1], "broken", Broken(), splits["train"]) != base


def test_a_known_detector_is_fitted_and_has_its_threshold_set_once(splits: Splits, entrant: Entrant) -> None:
    passes: list[int] = []
    hook = entrant.classifier.net.register_forward_hook(lambda _net, _x, value: passes.append(len(value)))
    spy = Spy()
    fitting = Fitting(entrant, {"spy": spy}, splits["train"])
    try:
        first = fitting.known("spy", splits["validation"])
        assert passes == [60, 60]  # the training and the validation split
        assert fitting.known("spy", splits["validation"]) is first
        assert passes == [60, 60]
    finally:
        hook.remove()
    assert len(spy.seen) == 1
    with torch.no_grad():
        clean = entrant.classifier.features(splits["validation"].images()).sum(1)
    assert int((clean > first.threshold + 1e-4).sum()) <= 3 <= int((clean > first.threshold - 1e-4).sum())
