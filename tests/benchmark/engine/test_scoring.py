"""Detectors are fitted on train alone, scored once, and one that fails spoils no other."""

from collections.abc import Mapping
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
from gmbench.benchmark.engine.entry import key_of, pack, unpack
from gmbench.benchmark.engine.passes import outputs_of
from gmbench.benchmark.engine.scores import read_scores
from gmbench.benchmark.engine.scoring import (
    Fitting,
    described,
    detectors_for,
    lacking_scores,
    layers_for,
    score,
)
from gmbench.benchmark.engine.store import Store
from gmbench.detectors import DETECTORS, Detector
from gmbench.detectors.detector import OWN
from gmbench.detectors.kde import KDE
from gmbench.models import Classifier, Outputs

from ..filled import fill_scores

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
    assert fill_scores(Fitting(entrant, {"spy": spy}, splits["train"]), cells, Store(tmp_path), splits) == {}
    ((outputs, y),) = spy.seen
    assert torch.equal(y, splits["train"].y)
    expected = entrant.classifier.features(splits["train"].images())
    torch.testing.assert_close(outputs.features, expected)
    assert outputs.x.numel() == 0  # the images are dropped: memory
    assert not outputs.features.requires_grad
    for cell in cells:
        ids, found = scores_of(Store(tmp_path), cell, {"spy": spy}, splits)
        assert ids == splits[cell.split].ids[: cell.samples].tolist()
        own = entrant.classifier.features(splits[cell.split].images(slice(0, cell.samples))).sum(1)
        torch.testing.assert_close(found["spy"], own.detach(), rtol=1e-4, atol=1e-4)


def test_one_pass_serves_all_that_need_no_more(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    passes: list[int] = []
    hook = entrant.classifier.net.register_forward_hook(lambda _net, _x, value: passes.append(len(value)))
    layered, everything, asking = Layered(), Everything(), Asking().bind(entrant.classifier)
    together: dict[str, Detector] = {"spy": Spy(), "layered": layered, "everything": everything}
    try:
        assert fill_scores(Fitting(entrant, together, splits["train"]), cells, Store(tmp_path), splits) == {}
        assert passes == [60, 60, 20]  # train, validation and test, each once
        passes.clear()
        fill_scores(Fitting(entrant, {"asking": asking}, splits["train"]), cells, Store(tmp_path), splits)
        assert passes == [60, 60, 60, 20, 20]
    finally:
        hook.remove()
    alone = Everything()
    fill_scores(Fitting(entrant, {"alone": alone}, splits["train"]), cells, Store(tmp_path), splits)
    assert alone.seen_ == everything.seen_
    # each sees what it declares, whatever else is in the suite
    assert layered.seen_ == (["stage2"], 0)
    assert everything.seen_ == (["stage1", "stage2"], 0)
    assert asking.seen_ == ([], 60 * 64)
    _, found = scores_of(Store(tmp_path), cells[1], {"asking": asking}, splits)
    expected = entrant.classifier(1 - splits["test"].images(slice(0, 20))).amax(1)
    torch.testing.assert_close(found["asking"], expected.detach())


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
        fill_scores(Fitting(entrant, {"spy": spy}, splits["train"]), cells, Store(tmp_path), splits)
    assert len(spy.seen) == 1


def test_a_cell_that_is_scored_ends_nothing(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    for found in (cells[:1], cells):
        fill_scores(Fitting(entrant, {"spy": Spy()}, splits["train"]), found, Store(tmp_path), splits)
    for cell in cells:
        assert lacking_scores(cell, {"spy": Spy()}, splits["train"], Store(tmp_path)) == ()


def test_attacked_images_are_those_that_were_judged(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    threat = ThreatModel("Linf", 0.1, access="decision")
    noisy = replace(cells[1], label="noise", attack="uniform-noise", threat=threat)
    entry = run_cell(noisy, entrant, None, splits["test"])
    Store(tmp_path).write(entry)
    assert (
        fill_scores(Fitting(entrant, {"spy": Spy()}, splits["train"]), [noisy], Store(tmp_path), splits) == {}
    )
    ids, found = scores_of(Store(tmp_path), noisy, {"spy": Spy()}, splits)
    assert entry.images is not None
    rounded = (entry.images * 255).round() / 255  # what counts against a detector
    expected = entrant.classifier.features(rounded).sum(1)
    torch.testing.assert_close(found["spy"], expected.detach(), rtol=1e-4, atol=1e-4)
    assert ids == splits["test"].ids[:20].tolist()


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
    failed = fill_scores(
        Fitting(entrant, {"broken": Broken(how), "sound": sound}, splits["train"]),
        cells,
        Store(tmp_path),
        splits,
    )
    assert list(failed) == ["broken"]
    assert message in failed["broken"]
    both: dict[str, Detector] = {"sound": sound, "broken": Broken(how)}
    for cell in cells:
        assert lacking_scores(cell, both, splits["train"], Store(tmp_path)) == ("broken",)


def test_only_detectors_that_apply_are_built_and_the_own_comes_last(splits: Splits, entrant: Entrant) -> None:
    assert list(detectors_for(["likelihood", "msp"], entrant, splits["test"])) == ["msp"]
    assert list(detectors_for(["likelihood", "msp"], replace(entrant, detector=Spy()), splits["test"])) == [
        "msp",
        OWN,
    ]


def test_the_configuration_and_the_training_data_decide(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    store, train = Store(tmp_path), splits["train"]
    fill_scores(Fitting(entrant, {"broken": Broken()}, train), cells[:1], store, splits)
    assert lacking_scores(cells[0], {"broken": Broken()}, train, store) == ()
    assert lacking_scores(cells[0], {"broken": Broken("other")}, train, store) == ("broken",)
    assert lacking_scores(cells[0], {"broken": Broken()}, train.head(50), store) == ("broken",)
    assert lacking_scores(cells[1], {"broken": Broken()}, train, store) == ("broken",)


def test_detectors_that_come_later_add_what_is_lacking(
    splits: Splits, entrant: Entrant, cells: list[Cell], tmp_path: Path
) -> None:
    store, scored = Store(tmp_path), [key_of(cell.description) for cell in cells]
    before = set(store.keys())
    two: dict[str, Detector] = {"spy": Spy(), "broken": Broken()}
    fill_scores(Fitting(entrant, two, splits["train"]), cells, store, splits)
    assert len(set(store.keys()) - before) == len(cells)  # one entry a cell
    spy, broken = Spy(), Broken()
    fill_scores(Fitting(entrant, {"spy": spy}, splits["train"]), cells, store, splits)
    assert spy.seen == []  # a narrowed run finds what a full one made
    three: dict[str, Detector] = {"spy": spy, "broken": broken, "layered": Layered()}
    fill_scores(Fitting(entrant, three, splits["train"]), cells, store, splits)
    assert spy.seen == []
    assert len(set(store.keys()) - before) == 2 * len(cells)
    assert [len(store.about(key)) for key in scored] == [2, 2]
    assert all(len(scores_of(store, cell, three, splits)[1]) == 3 for cell in cells)


# those of pytorch-ood learn objects of their own, which are fitted anew
@pytest.mark.parametrize("name", [name for name in DETECTORS if not name.startswith("ood:")])
def test_what_was_learned_scores_to_the_bit_as_the_fit_did_and_asks_the_model_nothing(name: str) -> None:
    train, entrant = load_data("digits", "train").head(300), entrant_from_checkpoint("digits-lgm-s0")
    detectors = [DETECTORS.build(name).bind(entrant.classifier) for _ in range(2)]
    layers = layers_for(detectors, entrant.classifier)
    test = outputs_of(entrant.classifier, load_data("digits", "test").images(slice(0, 60)), "cpu", layers)
    one, other = (Fitting(entrant, {name: detector}, train) for detector in detectors)
    one.fit([name])
    entry = one.fitted(name)
    assert entry is not None
    passes: list[int] = []
    entrant.classifier.net.register_forward_hook(lambda _net, _x, value: passes.append(len(value)))
    other.restore(name, unpack(pack(entry), key_of(other.description(name))))
    other.fit([name])
    assert passes == []
    assert torch.equal(score(one.detectors[name], test), score(other.detectors[name], test))


def test_a_fit_is_of_one_model_one_configuration_one_training_split_and_one_device(
    splits: Splits, entrant: Entrant
) -> None:
    train = splits["train"]
    fittings = [
        Fitting(entrant, {"kde": KDE()}, train),
        Fitting(entrant, {"kde": KDE(samples=5)}, train),
        Fitting(entrant, {"kde": KDE()}, train.head(50)),
        Fitting(entrant_from_checkpoint("digits-lgm-s0"), {"kde": KDE()}, train),
        Fitting(entrant, {"kde": KDE()}, train, "cuda"),
    ]
    assert len({key_of(fitting.description("kde")) for fitting in fittings}) == len(fittings)
    assert fittings[4].description("kde") == Fitting(entrant, {"kde": KDE()}, train, "cuda:1").description(
        "kde"
    )


def test_what_learned_more_than_tensors_is_not_kept(splits: Splits, entrant: Entrant) -> None:
    fitting = Fitting(entrant, {"layered": Layered(), "kde": KDE()}, splits["train"])
    assert fitting.fitted("kde") is None  # not yet
    fitting.fit(["layered", "kde"])
    assert fitting.fitted("layered") is None  # names are no tensors
    assert fitting.fitted("kde") is not None
    assert fitting.failed == {}


def scores_of(
    store: Store, cell: Cell, detectors: Mapping[str, Detector], splits: Splits
) -> tuple[list[int], dict[str, Tensor]]:
    """Give the ids of a cell's scores in the store, and the scores."""
    key = key_of(cell.description)
    found = read_scores(store, key, described(detectors, splits["train"]))
    ids = store.read_key(store.about(key)[0]).table["id"].tolist()
    return ids, {name: torch.tensor(column) for name, column in found.columns.items()}


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
