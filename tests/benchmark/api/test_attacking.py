"""Attacks from a notebook: judged as in a suite, counted by hand, any loss, any batch."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gmbench as gm
from gmbench.models.ensemble import Ensemble


@pytest.fixture(scope="module")
def model() -> gm.Model:
    return gm.load("digits-softmax-s0")


X, Y = gm.load_data("digits", "test", samples=40)


def test_accuracies_are_a_count_by_hand(model: gm.Model) -> None:
    run = gm.attack(model, X, Y, gm.PGD(steps=5), eps=0.1)
    clean = [int(model.classifier(image[None]).argmax()) for image in X]
    attacked = [int(model.classifier(image[None]).argmax()) for image in run.x_adv]
    right = [a == b for a, b in zip(clean, Y.tolist(), strict=True)]
    kept = [a and b == c for a, b, c in zip(right, attacked, Y.tolist(), strict=True)]
    assert run.clean_accuracy == pytest.approx(sum(right) / 40)
    assert run.robust_accuracy == pytest.approx(sum(kept) / 40)
    assert run.success_rate == pytest.approx((sum(right) - sum(kept)) / sum(right))
    assert run.success.tolist() == [a and not b for a, b in zip(right, kept, strict=True)]
    assert 0 < run.robust_accuracy < run.clean_accuracy
    assert ((run.x_adv - X).abs() <= 0.1 + 1e-6).all()
    assert list(run.table["y"]) == Y.tolist()
    assert (run.table["backwards"] == 5).all()
    assert f"{run.robust_accuracy:.1%}" in run._repr_html_()


def test_batches_and_neighbours_do_not_matter(model: gm.Model) -> None:
    whole = gm.attack(model, X, Y, gm.PGD(steps=3), eps=0.1)
    parts = gm.attack(model, X, Y, gm.PGD(steps=3), eps=0.1, batch=7)
    some = gm.attack(model, X[20:], Y[20:], gm.PGD(steps=3), eps=0.1, ids=np.arange(20, 40))
    torch.testing.assert_close(parts.x_adv, whole.x_adv, rtol=0, atol=1e-5)
    torch.testing.assert_close(some.x_adv, whole.x_adv[20:], rtol=0, atol=1e-5)
    other = gm.attack(model, X, Y, gm.PGD(steps=3), eps=0.1, seed=1)
    assert not torch.equal(other.x_adv, whole.x_adv)


def test_names_and_arrays_do_as_well(model: gm.Model) -> None:
    run = gm.attack(model, X, Y, gm.PGD(steps=3), eps=0.1)
    named = gm.attack(model, X.numpy(), Y.numpy(), "pgd", options={"steps": 3}, eps=0.1)
    assert torch.equal(run.x_adv, named.x_adv)


def test_a_loss_of_ones_own_that_is_ours_gives_our_images(model: gm.Model) -> None:
    def margin(logits: Tensor, y: Tensor) -> Tensor:
        true = functional.one_hot(y, logits.shape[1]).bool()
        return logits.masked_fill(true, -torch.inf).amax(1) - logits[true]

    for attack in (gm.PGD, gm.FGSM, gm.MIFGSM):
        ours = gm.attack(model, X, Y, attack(loss="margin"), eps=0.1)
        own = gm.attack(model, X, Y, attack(loss=margin), eps=0.1)
        torch.testing.assert_close(own.x_adv, ours.x_adv, rtol=0, atol=1e-5)


def test_access_is_the_weakest_that_the_attack_needs(model: gm.Model) -> None:
    assert gm.attack(model, X, Y, gm.Square(queries=5), eps=0.2).threat.access == "query"
    assert gm.attack(model, X, Y, gm.UniformNoise(), eps=0.2).threat.access == "decision"


def test_targets_of_decisions_begin_at_validation_images(model: gm.Model) -> None:
    settings = {"norm": "L2", "eps": np.inf}
    walk = gm.HopSkipJump(queries=300, probes=20, targets=2)
    run = gm.attack(model, X[:8], Y[:8], walk, **settings)
    given = gm.attack(model, X[:8], Y[:8], walk, validation=gm.load_data("digits", "validation"), **settings)
    assert torch.equal(run.x_adv, given.x_adv)
    assert run.success_rate == 1
    assert (run.table["forwards"] <= 300).all()
    ones = Y == 1
    with pytest.raises(ValueError, match="expected examples of two classes"):
        gm.attack(model, X[:8], Y[:8], walk, validation=(X[ones], Y[ones]), **settings)


def test_a_transfer_attack_takes_the_surrogates_gradients(model: gm.Model) -> None:
    surrogate = gm.load("digits-surrogate-s0")
    run = gm.attack(model, X, Y, gm.PGD(steps=5), eps=0.2, access="transfer", surrogate=surrogate)
    own = gm.attack(surrogate, X, Y, gm.PGD(steps=5), eps=0.2)
    assert torch.equal(run.x_adv, own.x_adv)
    assert run.robust_accuracy > own.robust_accuracy


def test_several_surrogates_are_one_ensemble(model: gm.Model) -> None:
    names = ["digits-surrogate-s0", "digits-center-s0"]
    both = Ensemble([gm.load(name).classifier for name in names]).eval()
    settings = {"eps": 0.2, "access": "transfer"}
    run = gm.attack(model, X, Y, gm.PGD(steps=5), surrogate=names, **settings)
    apart = gm.attack(model, X, Y, gm.PGD(steps=5), surrogate=both, **settings)
    torch.testing.assert_close(run.x_adv, apart.x_adv, rtol=0, atol=1e-5)
    alone = gm.attack(model, X, Y, gm.PGD(steps=5), surrogate=names[:1], **settings)
    assert not torch.equal(alone.x_adv, run.x_adv)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "L3"}, "no norm named 'L3'; known: L2, Linf"),
        ({"eps": 0.0}, "expected eps to be > 0, got 0"),
        ({"eps": np.inf}, "expected eps of attack 'pgd' to be finite, got inf: .*; give a size"),
        (
            {"access": "query"},
            "access of attack 'pgd' to be white-box or more, got query; say access = \"whi",
        ),
        ({"precision": "fp16"}, "expected precision to be one of float32, bf16, got 'fp16'"),
        ({"access": "transfer"}, "expected a surrogate with access 'transfer' and with no other, .* no surr"),
        ({"options": {"steps": 3}}, "expected options with an attack's name alone"),
        ({"ids": [1, 2]}, r"expected one id for each of 40 images, got \(2,\)"),
        ({"device": "tpu"}, "got 'tpu'"),
    ],
)
def test_wrong_settings_are_refused(model: gm.Model, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        gm.attack(model, X, Y, gm.PGD(steps=1), **{"eps": 0.1, **changes})


@pytest.mark.parametrize("labels", [Y + 1, Y - 1])
def test_classes_that_the_model_has_not_are_refused(model: gm.Model, labels: Tensor) -> None:
    with pytest.raises(
        ValueError, match="expected y to be classes 0 to 9 of 'digits-softmax-s0', got"
    ) as told:
        gm.attack(model, X, labels, gm.PGD(steps=1), eps=0.1)
    assert "\n" not in str(told.value)


def test_what_is_no_attack_is_refused(model: gm.Model) -> None:
    with pytest.raises(TypeError, match=r"expected an attack, such as gm\.PGD"):
        gm.attack(model, X, Y, gm.PGD, eps=0.1)


def test_bf16_gives_gradients_and_float32_judges(model: gm.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = gm.attack(model, X, Y, gm.PGD(steps=5), eps=0.1)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    rough = gm.attack(model, X, Y, gm.PGD(steps=5), eps=0.1, precision="bf16", device="cpu")
    assert (fine.precision, rough.precision) == ("float32", "bf16")
    assert not rough.x_adv.equal(fine.x_adv)
    assert abs(rough.robust_accuracy - fine.robust_accuracy) <= 1 / len(X)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    again = gm.attack(model, X, Y, gm.PGD(steps=5), eps=0.1, precision="bf16", device="cpu")
    assert again.precision == "float32"
    assert again.x_adv.equal(fine.x_adv)
