"""Each question is answered well by L-GM and badly by the fraud that it is there for."""

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ThreatModel
from gmbench.attacks.pgd import PGD
from gmbench.benchmark.engine.inspection import gradients, outputs, strength, twins
from gmbench.benchmark.engine.inspection.finding import State
from gmbench.benchmark.engine.inspection.inspect import MODEL_CHECKS
from gmbench.benchmark.engine.inspection.planted import planted
from gmbench.models import Classifier

CAUGHT = {
    "random_resize": outputs.repeatable,
    "nearest_image": twins.alike,
    "hashed_images": twins.alike,
    "other_with_gradients": outputs.gradient_mode,
    "reads_y": outputs.caller,
    "softmax_as_logits": outputs.no_probabilities,
    "fixed_noise": gradients.finite_differences,
    "zeroed_gradients": gradients.finite_differences,
    "random_gradients": gradients.finite_differences,
    "flipped_gradients": gradients.finite_differences,
    "four_bits": planted,
}


@pytest.mark.parametrize(("fraud", "check"), CAUGHT.items(), ids=CAUGHT)
def test_a_fraud_is_caught_and_the_model_underneath_is_not(subject, fraud, check):
    torch.manual_seed(0)
    [found] = check(subject(fraud))
    assert found.state in (State.FAILED, State.BROKEN), found.detail
    [honest] = check(subject("digits-softmax-s0"))
    assert honest.state == State.PASSED, honest.detail


def test_nothing_is_found_in_an_honest_model(subject):
    honest = subject("digits-lgm-s0", test=subject("digits-lgm-s0").test.head(40))
    for name, check in MODEL_CHECKS.items():
        for found in check(honest):
            assert found.state == State.PASSED, (name, found)
            assert not found.p < 0.02, (name, found)


class Linear(nn.Module):
    """Logits -z and z with z a sum of the pixels, and a fault."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.linspace(0.5, 1.5, x.shape[1]).square()
        z = (x * weight).sum(1, keepdim=True) - x.shape[1] / 3
        if self.fault == "nan":
            z = torch.where(z > 16, torch.nan, z)
        if self.fault == "batch":
            z = z - z.mean()
        if self.fault == "counts":
            self.calls = getattr(self, "calls", 0) + 1
            z = z + (self.calls > 5)
        if self.fault == "rounded":
            z = (z / 8).round()
        return torch.cat([-z, z], 1)


@pytest.mark.parametrize(
    ("fault", "check", "state"),
    [
        ("nan", outputs.finite_logits, State.BROKEN),
        ("batch", outputs.batch_split, State.FAILED),
        ("counts", outputs.repeatable, State.FAILED),
        ("rounded", outputs.distinct_logits, State.FAILED),
    ],
)
def test_a_fault_is_seen_and_nothing_without_it(subject, fault, check, state):
    [found] = check(subject(Classifier(nn.Flatten(), Linear(fault)).eval()))
    assert found.state == state, found.detail
    [found] = check(subject(Classifier(nn.Flatten(), Linear()).eval()))
    assert found.state == State.PASSED, found.detail


def test_log_probabilities_are_seen_too(subject):
    net = Classifier(nn.Flatten(), nn.Sequential(Linear(), nn.LogSoftmax(1))).eval()
    [found] = outputs.no_probabilities(subject(net))
    assert found.state == State.FAILED
    assert found.detail == "all rows of logits are log-probabilities"


def test_a_stronger_attack_names_whom_it_met_and_whom_it_fooled(subject, monkeypatch):
    monkeypatch.setattr(strength, "STRONGER", (PGD(loss="margin", steps=20), PGD(loss="dlr", steps=20)))
    few = subject("digits-softmax-s0").test.head(15)
    near = subject("digits-softmax-s0", test=few, threats=(ThreatModel("Linf", 0.02), ThreatModel("L2", 3.0)))
    small, large = strength.stronger_attack(near)
    assert (small.norm, small.eps) == ("Linf", 0.02)
    assert (large.norm, large.eps) == ("L2", 3.0)
    assert small.met == large.met == tuple(near.test.ids.tolist())
    assert len(small.fooled) < 5 < 10 < len(large.fooled)
    assert set(large.fooled) <= set(large.met)


def test_an_attack_without_a_bound_must_leave_nothing(subject):
    """One class, whatever the image: where it is right it stays right."""
    often = int(subject("digits-softmax-s0").test.true[:32].mode().values)

    class Stuck(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = 5 + 0 * x.sum(1, keepdim=True)
            return torch.cat([z if k == often else -z for k in range(10)], 1)

    [found] = strength.unbounded_attack(subject(Classifier(nn.Flatten(), Stuck()).eval()))
    assert found.state == State.FAILED


def test_shares_that_test_images_alone_lose_have_a_small_p(subject):
    class Cheat(Classifier):
        """Right on the very test images, whatever is a grey level away is of class 0."""

        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Identity())
            near = subject("digits-softmax-s0")
            self.known, self.true = near.test.x.flatten(1), near.test.true
            self.inner = near.classifier

        def features(self, x: Tensor) -> Tensor:
            distance, place = torch.cdist(x.flatten(1), self.known).min(1)
            close = (distance > 1e-3) & (distance < 0.1)
            logits = self.inner(x)
            logits = torch.where(close.unsqueeze(1), 9.0 * (torch.arange(10) == 0), logits)
            hit = nn.functional.one_hot(self.true[place], 10) * 9.0
            return torch.where((distance <= 1e-3).unsqueeze(1), hit, logits)

    [found] = twins.twins_agree(subject(Cheat().eval()))
    assert found.p < 1e-6
    assert found.detail.startswith("a grey level: ")
    [honest] = twins.twins_agree(subject("digits-softmax-s0"))
    assert honest.p > 0.02
