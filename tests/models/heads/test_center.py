"""Center loss against equations 4 and 5 of its paper, by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gmbench.models.heads.center import Center
from gmbench.models.heads.lgm import LGM

FEATURES = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
Y = torch.tensor([0, 0, 2])


def build(**options: float) -> Center:
    """Three classes in two dimensions, logits 0, centres (0, 0), (1, 1), (0, 2)."""
    head = Center(features=2, classes=3, **options).double()
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.zero_()
        head.centres.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]]))
    return head


def test_loss_is_cross_entropy_plus_half_the_weighted_squared_distance() -> None:
    pull = (4 + 16 + 1) / 3
    assert build(weight=0.1).loss(FEATURES, Y, 0.5).item() == pytest.approx(
        math.log(3) + 0.1 / 2 * pull, rel=1e-12
    )


def test_gradient_pulls_to_the_centre() -> None:
    features = FEATURES.clone().requires_grad_()
    build(weight=0.1).loss(features, Y, 0.0).backward()
    # The logits do not depend on the features here, so the pull is all there is: weight (f - c_y) / B.
    expected = 0.1 / 3 * torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(features.grad, expected)


def test_centres_move_by_their_own_rule() -> None:
    head = build(centre_lr=0.5)
    head.loss(FEATURES, Y, 0.0)
    # Class 0: sum (c - f) = (-6, 0), over 1 + 2, times .5. Class 2: (0, -1), over 1 + 1, times .5.
    assert head.centres.tolist() == [[1, 0], [1, 1], [0, 2.25]]


@pytest.mark.parametrize("centre_lr", [0.0, 0.3, 1.0])
def test_rule_holds_for_any_batch(centre_lr: float) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (20,), generator=generator)
    head = build(centre_lr=centre_lr)
    expected = []
    for j, centre in enumerate(head.centres.clone()):
        pulls = [centre - feature for feature, label in zip(features, y, strict=True) if label == j]
        expected.append(centre - centre_lr * torch.stack(pulls).sum(0) / (1 + len(pulls)))
    head.loss(features, y, 0.0)
    torch.testing.assert_close(head.centres, torch.stack(expected))


def test_class_that_the_batch_lacks_keeps_its_centre() -> None:
    head = build()
    before = head.centres.clone()
    head.loss(FEATURES, Y, 0.0)
    assert head.centres[1].equal(before[1])
    assert not head.centres[0].equal(before[0])


def test_centres_rest_in_evaluation_mode() -> None:
    head = build().eval()
    before = head.centres.clone()
    head.loss(FEATURES, Y, 0.0)
    assert head.centres.equal(before)


def test_pull_is_the_likelihood_term_of_lgm_with_an_identity_covariance() -> None:
    """L-GM paper, section 3.4; L-GM's term has no factor but its weight, as its d has the 1/2."""
    y, weight = torch.tensor([0, 1, 2]), 0.07
    head = build(weight=weight).eval()
    lgm, bare = (
        LGM(features=2, classes=3, alpha=0.0, alpha_start=0.0, weight=value).double()
        for value in (weight, 0.0)
    )
    for mixture in (lgm, bare):
        mixture.means.data.copy_(head.centres)

    def terms(features: Tensor) -> tuple[Tensor, Tensor]:
        pull = head.loss(features, y, 0.0) - functional.cross_entropy(head(features), y)
        return pull, lgm.loss(features, y, 0.0) - bare.loss(features, y, 0.0)

    features = FEATURES.clone().requires_grad_()
    pull, likelihood = terms(features)
    torch.testing.assert_close(pull, likelihood, rtol=1e-12, atol=0)
    [own] = torch.autograd.grad(pull, features, retain_graph=True)
    [other] = torch.autograd.grad(likelihood, features)
    torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-15)


def test_centres_are_state_but_no_parameters() -> None:
    head = build()
    assert {name for name, _ in head.named_parameters()} == {"linear.weight", "linear.bias"}
    assert "centres" in head.state_dict()
    head.loss(FEATURES.clone().requires_grad_(), Y, 0.0)
    assert not head.centres.requires_grad


def test_likelihood_is_the_unit_gaussian_around_each_centre() -> None:
    head = build()
    found = head.log_likelihood(FEATURES)
    for k, centre in enumerate(head.centres):
        normal = torch.distributions.MultivariateNormal(centre, torch.eye(2, dtype=torch.float64))
        # -D/2 log(2 pi) is the same for all classes
        expected: Tensor = normal.log_prob(FEATURES) + math.log(2 * math.pi)
        torch.testing.assert_close(found[:, k], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -0.1}, "expected weight to be >= 0, got -0.1"),
        ({"centre_lr": 1.5}, r"expected centre_lr to be in \[0, 1\], got 1.5"),
        ({"centre_lr": -0.5}, r"expected centre_lr to be in \[0, 1\], got -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Center(2, 3, **options)
