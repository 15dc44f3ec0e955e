"""What a detector has learned is tensors by path, and comes back as it was; what is more is said to be."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from gmbench.benchmark.contracts.detector import World
from gmbench.detectors import Detector
from gmbench.detectors.learned import NotTensorsError, as_tensors, from_tensors
from gmbench.models import Outputs

VALUES: dict[str, Any] = {
    "means_": torch.randn(3, 2, dtype=torch.float64),
    "turned_": torch.randn(3, 2).T,
    "half_": torch.tensor(0.5),
    "points_": [torch.randn(2), torch.empty(0, 3), (torch.tensor([True]), [])],
    "widths_": [0.1, -0.0, float("inf")],
    "counts_": (2**62, -1, True, None),
    "nothing_": [],
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def test_values_come_back_as_they_were() -> None:
    tensors = as_tensors(VALUES)
    assert all(isinstance(tensor, Tensor) and tensor.is_contiguous() for tensor in tensors.values())
    found = from_tensors(tensors)
    assert found.keys() == VALUES.keys()
    assert all(same(value, found[name]) for name, value in VALUES.items())
    assert all(
        same(value, from_tensors(dict(reversed(tensors.items())))[name]) for name, value in VALUES.items()
    )


@pytest.mark.parametrize(
    "value", ["text", {"a": 1}, {1}, 2**63, 1j, object(), [torch.zeros(1), "text"], torch.nn.Linear(1, 1)]
)
def test_what_is_no_tensor_is_refused(value: object) -> None:
    with pytest.raises(NotTensorsError, match="expected a_"):
        as_tensors({"a_": value})


@pytest.mark.parametrize(
    "paths", ["a_/list/0", "a_/list/size/0", "a_/b", "a_/number/0", "a_ a_/list/0", "/ //"]
)
def test_names_of_another_kind_are_refused(paths: str) -> None:
    with pytest.raises(ValueError, match="expected what was learned"):
        from_tensors({path: torch.ones(1) for path in paths.split()})


@dataclass
class Plugin(Detector):
    """As a user might write it."""

    center_: Tensor = field(init=False, repr=False, compare=False)
    more: Any = None

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        self.center_ = outputs.features.mean(0)
        if self.more is not None:
            setattr(self, *self.more)

    def score(self, outputs: Outputs) -> Tensor:
        return (outputs.features - self.center_).norm(dim=1)


def test_a_plugins_detector_needs_no_code_for_it() -> None:
    train, y = World().clean(30, seed=0)
    assert Plugin().learned() is None  # before fit
    learned = Plugin().fit(train, y).learned()
    assert learned is not None
    assert torch.equal(Plugin().restore(learned).score(train), Plugin().fit(train, y).score(train))


@pytest.mark.parametrize(
    "more", [("tree_", object()), ("undeclared", torch.ones(1)), ("_cache", torch.ones(1))]
)
def test_a_detector_that_learns_more_than_tensors_says_so(more: tuple[str, object]) -> None:
    assert Plugin(more=more).fit(*World().clean(30, seed=0)).learned() is None


@pytest.mark.parametrize("name", ["classifier_", "center", "score", "__class__"])
def test_nothing_else_is_restored(name: str) -> None:
    learned = Plugin().fit(*World().clean(30, seed=0)).learned()
    assert learned is not None
    with pytest.raises(ValueError, match="expected what"):
        Plugin().restore({**learned, name: torch.ones(1)})
    with pytest.raises(ValueError, match="to have been fitted"):
        Plugin().restore({"center_": learned["center_"]})
