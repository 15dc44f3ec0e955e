"""A fingerprint changes with whatever decides what a model computes, and with nothing else."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from gmbench.models.fingerprint import digest


class Net(nn.Module):
    """A linear layer and two buffers, one of which no state_dict holds."""

    def __init__(self, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 2).to(kind)
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("mean", torch.zeros(2, dtype=kind), persistent=False)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_parameter_and_buffer_of_any_type_counts(kind: torch.dtype) -> None:
    before = digest(Net(kind))
    assert digest(Net(kind)) == before
    for name in ("linear.weight", "linear.bias", "count", "mean"):
        net = Net(kind)
        value = dict((*net.named_parameters(), *net.named_buffers()))[name]
        with torch.no_grad():
            value.view(-1)[-1] += 1
        assert digest(net) != before, name


def test_the_type_counts() -> None:
    assert len({digest(torch.zeros(2, dtype=kind)) for kind in (torch.float32, torch.int32)}) == 2
    assert len({digest(torch.zeros(shape)) for shape in ((4,), (2, 2))}) == 2


def test_quantised_weights_count() -> None:
    def quantised(first: float) -> nn.Module:
        net = nn.Sequential(nn.Linear(3, 2))
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor([[first, 0.5, 0.25], [0.1, 0.2, 1.0]]))
            net[0].bias.zero_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)

    assert digest(quantised(1.0)) == digest(quantised(1.0))
    assert digest(quantised(1.0)) != digest(quantised(-1.0))


class Holder:
    """Any object, a detector say."""

    def __init__(self, **held: object) -> None:
        self.__dict__.update(held)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2), torch.ones(2)),
        (np.zeros(2), np.ones(2)),
        (np.float64(1), np.float64(2)),
        ([1.0, torch.zeros(1)], [1.0, torch.ones(1)]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (Net(), nn.Linear(3, 2)),
        (Holder(deeper=torch.zeros(2)), Holder(deeper=torch.ones(2))),
    ],
)
def test_what_an_object_holds_counts(one: object, other: object) -> None:
    assert digest(Holder(it=one)) == digest(Holder(it=one))
    assert digest(Holder(it=one)) != digest(Holder(it=other))


def test_circles_end_and_functions_have_no_address() -> None:
    def circle() -> Holder:
        holder = Holder(score=lambda x: x, kind=Holder)
        holder.__dict__["own"] = holder
        return holder

    assert digest(circle()) == digest(circle())


def test_parts_do_not_run_together() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") != digest("a", "")
