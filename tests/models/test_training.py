"""Training as a pure function of recipe, data and seed, also when it is killed."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gmbench.models import HEADS, Head, Recipe
from gmbench.models.about import Variant
from gmbench.models.heads.adversarial import Hardening
from gmbench.models.heads.softmax import Softmax
from gmbench.models.recipe import build_classifier
from gmbench.models.training import (
    Diverged,
    Progress,
    accuracy,
    flipped,
    one_cycle,
    rate,
    read_state,
    shifted,
    train,
)

ABOUT = Variant(name="own_at", title="Own-AT", citation="Nobody 2026")
CLASSES = 3
X = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % CLASSES


class Killed(Exception):
    """What a user's Ctrl-C would be."""


ADVERSARY = Hardening(eps=0.1, objective="margin")


@pytest.fixture(
    params=[*((loss, None) for loss in HEADS), ("softmax", ADVERSARY), ("lgm", ADVERSARY)], ids=str
)
def each_recipe(request: pytest.FixtureRequest, recipe: Recipe) -> Recipe:
    loss, adversary = request.param
    features = CLASSES if loss == "gccs" else recipe.features
    changes = {"loss": {"name": loss}, "features": features, "adversary": adversary, "about": ABOUT}
    return recipe.model_copy(update=changes if adversary else changes | {"about": None})


def weights(recipe: Recipe, seed: int = 0, **options: Any) -> dict[str, Tensor]:
    return train(recipe, X, Y, CLASSES, seed, **options).classifier.state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(value.equal(b[name]) for name, value in a.items())


@pytest.fixture(autouse=True)
def _random_state_is_kept() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("change", [{"lr": 0.001}, {"seed": 1}])
def test_the_state_of_another_training_is_refused(
    recipe: Recipe, tmp_path: Path, change: dict[str, float]
) -> None:
    weights(recipe, state=tmp_path / "own.state")
    other = recipe.model_copy(update={key: value for key, value in change.items() if key != "seed"})
    with pytest.raises(ValueError, match="another recipe or seed; remove it"):
        weights(other, seed=int(change.get("seed", 0)), state=tmp_path / "own.state")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "mnist-conv6"}, r"^expected net 'mnist-conv6' to take images of shape \(1, 8, 8\): "),
        (
            {"mean": (0.1, 0.2, 0.3)},
            r"to have one mean and std, or one per channel \(1\), got 3 means and 1 stds$",
        ),
        ({"loss": {"name": "gccs"}}, "^expected features to be the number of classes, 3, for GCCS"),
    ],
)
def test_images_that_do_not_fit_are_one_line(recipe: Recipe, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        weights(recipe.model_copy(update=change))
    assert "\n" not in str(caught.value)


def test_a_damaged_state_is_one_line(recipe: Recipe, tmp_path: Path) -> None:
    weights(recipe, state=tmp_path / "own.state")
    content = (tmp_path / "own.state").read_bytes()
    places = range(0, len(content), len(content) // 50)
    flipped = [content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in places]
    for damaged in (content[: len(content) // 2], b"", *flipped):
        (tmp_path / "own.state").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged file; remove it") as caught:
            weights(recipe, state=tmp_path / "own.state")
        assert "\n" not in str(caught.value)


def test_killed_training_goes_on_to_the_same_weights(each_recipe: Recipe, tmp_path: Path) -> None:
    state = tmp_path / "own.state"

    def kill_in_the_second_epoch(progress: Progress) -> None:
        if progress.step == 5:  # of three in each epoch
            raise Killed

    with pytest.raises(Killed):
        weights(each_recipe, state=state, report=kill_in_the_second_epoch)
    seen: list[Progress] = []
    continued = weights(each_recipe, state=state, report=seen.append)
    assert [progress.step for progress in seen] == [4, 5, 6, 7, 8, 9]
    assert same(continued, weights(each_recipe))


def test_time_before_a_kill_counts(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # each look at it is ten seconds later than the last, so an epoch takes ten
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("gmbench.models.training.time.monotonic", lambda: next(clock))

    def kill_in_the_third_epoch(progress: Progress) -> None:
        if progress.step == 7:
            raise Killed

    state = tmp_path / "own.state"
    with pytest.raises(Killed):
        train(recipe, X, Y, CLASSES, 0, state=state, report=kill_in_the_third_epoch)
    assert train(recipe, X, Y, CLASSES, 0, state=state).seconds == 30
    assert train(recipe, X, Y, CLASSES, 0, state=state).seconds == 30  # finished: read, not made anew


def test_a_state_outlives_a_change_of_where_settings_are_from(recipe: Recipe, tmp_path: Path) -> None:
    state, seen = tmp_path / "own.state", list[Progress]()
    first = weights(recipe, state=state)
    told = recipe.model_copy(update={"source": "another paper"})
    assert same(weights(told, state=state, report=seen.append), first)
    assert seen == []


def test_finished_training_is_not_repeated(recipe: Recipe, tmp_path: Path) -> None:
    state = tmp_path / "own.state"
    finished = weights(recipe, state=state)
    seen: list[Progress] = []
    assert same(weights(recipe, state=state, report=seen.append), finished)
    assert seen == []


def test_parameters_are_rounded_when_the_training_ends_and_not_before(recipe: Recipe, tmp_path: Path) -> None:
    full, half = (
        weights(recipe.model_copy(update={"weights": kind}), state=tmp_path / f"{kind}.state")
        for kind in ("float32", "float16")
    )
    assert same(half, {name: value.half().float() for name, value in full.items()})
    assert not same(half, full)
    kept = [read_state(tmp_path / f"{kind}.state")["classifier"] for kind in ("float32", "float16")]
    assert same(*kept)


def test_seed_and_recipe_decide(recipe: Recipe) -> None:
    first = weights(recipe)
    assert same(first, weights(recipe))
    assert not same(first, weights(recipe, seed=1))
    assert not same(first, weights(recipe.model_copy(update={"padding": 0})))


def test_progress_tells_every_step(recipe: Recipe) -> None:
    seen: list[Progress] = []
    weights(recipe, report=seen.append)
    assert [(progress.step, progress.steps, progress.epoch) for progress in seen] == [
        (i + 1, 9, 1 + i // 3) for i in range(9)
    ]
    assert all(math.isfinite(progress.loss) for progress in seen)


def test_loss_is_told_the_share_that_is_done(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    softmax_loss = Softmax.loss

    def loss(self: Softmax, features: Tensor, y: Tensor, progress: float) -> Tensor:
        told.append(progress)
        return softmax_loss(self, features, y, progress)

    monkeypatch.setattr(Softmax, "loss", loss)
    weights(recipe)
    assert told == pytest.approx([step / 9 for step in range(9)])


def test_what_can_be_learned_is_learned(each_recipe: Recipe) -> None:
    x = X // 4
    for image, label in zip(x, Y, strict=True):  # one bright band, whose place is the class
        image[:, :, 3 * label : 3 * label + 2] = 255
    classifier = train(
        each_recipe.model_copy(update={"net": "digits-conv4", "epochs": 30, "padding": 0}),
        x,
        Y,
        CLASSES,
        seed=0,
    ).classifier
    assert not classifier.training
    assert accuracy(classifier, x, Y) == 1


def test_an_adversary_perturbs_every_batch_up_its_objective(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Tensor, Tensor, float]] = []
    lost: list[Tensor] = []

    def attack(_: Hardening, logits: Any, x: Tensor, y: Tensor, progress: float, *__: Any) -> Tensor:
        assert logits(x).shape == (len(x), CLASSES)
        asked.append((x, y, progress))
        return 1 - x

    def training_loss(self: Head, features: Any, x: Tensor, y: Tensor, progress: float, _: Any) -> Tensor:
        lost.append(x)
        assert y.equal(asked[-1][1])
        return self.loss(features(x), y, progress)

    monkeypatch.setattr(Hardening, "attack", attack)
    monkeypatch.setattr(Head, "training_loss", training_loss)
    weights(recipe.model_copy(update={"adversary": ADVERSARY, "about": ABOUT}))
    steps = 3 * math.ceil(len(X) / recipe.batch)
    assert [progress for *_, progress in asked] == pytest.approx([step / steps for step in range(steps)])
    assert all(x_adv.equal(1 - x) for x_adv, (x, *_) in zip(lost, asked, strict=True))


def test_what_a_model_is_called_trains_nothing(recipe: Recipe, tmp_path: Path) -> None:
    hardened = recipe.model_copy(update={"adversary": ADVERSARY, "about": ABOUT})
    first = weights(hardened, state=tmp_path / "own.state")
    renamed = hardened.model_copy(update={"about": replace(ABOUT, title="Another")})
    assert same(first, weights(renamed, state=tmp_path / "own.state"))
    assert not same(first, weights(recipe))


def test_learning_rate_of_a_parameter_is_its_own(recipe: Recipe) -> None:
    def means(centre_lr: float) -> Tensor:
        return weights(recipe.model_copy(update={"loss": {"name": "lgm", "centre_lr": centre_lr}}))[
            "head.means"
        ]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        initial = build_classifier(recipe.model_copy(update={"loss": {"name": "lgm"}}), CLASSES).state_dict()[
            "head.means"
        ]
    assert means(0.0).equal(initial)
    assert not means(0.3).equal(initial)


def test_gradients_are_clipped(recipe: Recipe) -> None:
    tiny = weights(recipe.model_copy(update={"clip": 1e-9, "weight_decay": 0.0, "padding": 0}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        initial = build_classifier(recipe, CLASSES).state_dict()
    assert all(torch.allclose(value, initial[name], rtol=0, atol=1e-7) for name, value in tiny.items())


def test_first_step_is_nesterov_at_a_tenth_of_the_learning_rate(recipe: Recipe) -> None:
    # One step over all images: the buffer is the gradient g, so the step is lr / 10 * (g + .9 g), g with the
    # weight decay.
    whole = recipe.model_copy(update={"epochs": 1, "batch": 20, "padding": 0, "clip": None})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = build_classifier(whole, CLASSES)
    assert isinstance(classifier.head, Head)
    classifier.head.loss(classifier.features(X.float() / 255), Y, 0.0).backward()
    found = weights(whole)
    for name, value in classifier.named_parameters():
        assert value.grad is not None
        gradient = value.grad + whole.weight_decay * value
        torch.testing.assert_close(
            found[name], (value - whole.lr / 10 * 1.9 * gradient).detach(), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    "each", [{"lr": 1e30}, {"lr": 1e30, "loss": {"name": "lgm"}}], ids=["softmax", "lgm"]
)
def test_divergence_is_told_in_one_line(recipe: Recipe, each: dict[str, Any]) -> None:
    with pytest.raises(Diverged) as caught:
        weights(recipe.model_copy(update=each))
    assert str(caught.value).startswith("expected the loss to stay finite, got ")
    assert str(caught.value).endswith("; lower lr (now 1e+30)")
    assert "\n" not in str(caught.value)


def test_nan_in_the_images_is_found_at_once(recipe: Recipe) -> None:
    x = X.float()
    x[:, 0, 4, 4] = math.nan
    with pytest.raises(
        Diverged,
        match=r"^expected the loss to stay finite, got nan in epoch 1, step 1; lower lr \(now 0\.05\)$",
    ):
        train(recipe, x, Y, CLASSES, seed=0)


def test_one_cycle_rises_straight_and_falls_as_a_cosine() -> None:
    assert one_cycle(0) == pytest.approx(0.1)
    assert one_cycle(0.1) == pytest.approx(0.55)
    assert one_cycle(0.2) == pytest.approx(1)
    assert one_cycle(0.2 - 1e-9) == pytest.approx(1)
    assert one_cycle(0.6) == pytest.approx(0.5)
    assert one_cycle(0.4) == pytest.approx(math.cos(math.pi / 8) ** 2)
    assert one_cycle(1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("padding", [1, 2])
def test_every_image_is_shifted_as_a_whole(padding: int) -> None:
    # not square, so that rows and columns cannot be taken for each other
    batch, channels, height, width = 300, 2, 5, 4
    x = torch.arange(1, batch * channels * height * width + 1).view(batch, channels, height, width)
    found = shifted(x, padding, torch.Generator().manual_seed(0))
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    steps = range(-padding, padding + 1)
    taken = []
    for image, result in zip(x, found, strict=True):
        [step] = [
            (down, right) for down in steps for right in steps if result.equal(move(image, down, right))
        ]
        taken.append(step)
    assert set(taken) == {(down, right) for down in steps for right in steps}


def move(image: Tensor, down: int, right: int) -> Tensor:
    """Move by slices and fill with 0, (C, H, W)."""
    _, height, width = image.shape
    result = torch.zeros_like(image)
    result[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = image[
        :, max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)
    ]
    return result


def test_shift_by_nothing_is_the_identity() -> None:
    assert shifted(X, 0, torch.Generator().manual_seed(0)).equal(X)


def test_generator_decides_the_shift() -> None:
    first, again, other = (shifted(X, 2, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_accuracy_is_the_share_of_right_predictions(batch: int) -> None:
    class Brightness(nn.Module):
        """Class 1 where the first pixel is above .5."""

        def __init__(self) -> None:
            super().__init__()
            self.threshold = nn.Parameter(torch.tensor(0.5))

        def forward(self, x: Tensor) -> Tensor:
            first = x[:, 0, 0, 0] - self.threshold
            return torch.stack([-first, first], 1)

    x = torch.tensor([0, 127, 128, 255, 10], dtype=torch.uint8).view(5, 1, 1, 1)
    assert accuracy(Brightness(), x, torch.tensor([0, 0, 1, 1, 1]), batch) == 0.8


def test_learning_rate_drops_where_the_recipe_says(recipe: Recipe) -> None:
    stepped = recipe.model_copy(update={"drops": (0.5, 0.75), "drop": 0.1})
    assert [rate(stepped, progress) for progress in (0, 0.49, 0.5, 0.74, 0.75, 1)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    assert rate(recipe, 0.3) == one_cycle(0.3)
    assert not same(weights(recipe), weights(stepped))


def test_half_of_the_images_are_mirrored() -> None:
    x = torch.arange(400 * 2 * 3 * 4).view(400, 2, 3, 4)
    found = flipped(x, torch.Generator().manual_seed(0))
    mirrored = (found == x.flip(3)).flatten(1).all(1)
    assert ((found == x).flatten(1).all(1) != mirrored).all()
    assert 160 < mirrored.sum() < 240
    assert found.equal(flipped(x, torch.Generator().manual_seed(0)))


def test_the_recipe_asks_for_mirrored_images(recipe: Recipe) -> None:
    assert not same(weights(recipe), weights(recipe.model_copy(update={"flip": True})))
