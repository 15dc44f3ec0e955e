"""Modules in memory: their features are found, they stay as they were, no other outputs are taken."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from gmbench.models import load_checkpoint
from gmbench.models.foreign.packed import ForeignError
from gmbench.models.foreign.wrap import fingerprint_of, wrap


def small(dropout: float = 0.5) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.Flatten(),
            nn.Linear(144, 9),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(9, 5),
        )


X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Returns(nn.Module):
    """Gives the logits in whatever ``packing`` makes of them."""

    def __init__(self, packing) -> None:
        super().__init__()
        self.net, self.packing = small(), packing

    def forward(self, x: Tensor):
        return self.packing(self.net(x))


def test_logits_are_the_modules_and_features_the_last_layers_input() -> None:
    module = small().eval()
    wrapped = wrap(module, mean=0.5, std=0.25)
    normal = (X - 0.5) / 0.25
    outputs = wrapped.outputs(X)
    assert torch.equal(outputs.logits, module(normal))
    assert torch.equal(outputs.features, module[:6](normal))
    assert (wrapped.classes, wrapped.features_are_logits) == (5, False)


def test_the_users_module_stays_as_it_was() -> None:
    module = small().train()
    before = copy.deepcopy(module.state_dict())
    wrapped = wrap(module)
    with torch.no_grad():
        wrapped.net.requires_grad_(False)
        wrapped.head.weight.zero_()
    assert module.training
    assert [type(layer) for layer in module] == [type(layer) for layer in small()]
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_an_object_with_logits_is_taken_apart_likewise() -> None:
    module = Returns(lambda logits: SimpleNamespace(logits=logits, loss=None)).eval()
    wrapped = wrap(module)
    assert torch.equal(wrapped(X), module.net(X))
    assert wrapped.outputs(X).features.shape == (6, 9)


@pytest.mark.parametrize(
    ("packing", "kind"),
    [(lambda z: {"logits": z}, "dict"), (lambda z: (z, z), "tuple"), (lambda _: None, "NoneType")],
    ids=["dict", "tuple", "nothing"],
)
def test_outputs_without_logits_are_refused_in_one_line(packing, kind) -> None:
    with pytest.raises(
        ForeignError, match=rf"^expected 'net' to give logits .* got {kind}; wrap it in a module .*$"
    ):
        wrap(Returns(packing), name="net")


def test_a_module_that_gives_no_rows_of_logits_is_refused() -> None:
    with pytest.raises(ForeignError, match="'mine' does not work as a classifier; expected logits of shape"):
        wrap(nn.Sequential(nn.Conv2d(1, 4, 3)), shape=(1, 8, 8))


def test_what_is_no_plain_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected 'mine' to be a torch\.nn\.Module, got function"):
        wrap(lambda x: x)
    with pytest.raises(TypeError, match=r"got a gmbench\.Classifier already"):
        wrap(load_checkpoint("digits-lgm-s0")[0])
    locked = small()
    locked.cache = torch.ones(1, requires_grad=True) * 2  # no leaf: deepcopy refuses it
    with pytest.raises(ForeignError, match="expected 'mine' to be a module that can be copied, got Runtime"):
        wrap(locked)


class Shifted(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift
        self.register_buffer("seen", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift + self.seen


class Other(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift
        self.register_buffer("seen", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.shift + self.seen


def test_fingerprint_sees_all_that_decides_and_nothing_else() -> None:
    same = fingerprint_of(Shifted(0.0))
    assert fingerprint_of(Shifted(0.0)) == same
    assert fingerprint_of(Shifted(0.0).train()) == fingerprint_of(Shifted(0.0).eval())
    buffer = Shifted(0.0)
    buffer.seen += 1
    other = type("Shifted", (Other,), {"__qualname__": "Shifted"})
    half = small().half()
    found = [fingerprint_of(one) for one in (Shifted(1.0), buffer, other(0.0), small(), small(0.1), half)]
    found += [same, fingerprint_of(Shifted(0.0), 0.5)]
    assert len(set(found)) == len(found)
