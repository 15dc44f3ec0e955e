"""What the victim grants, counts and leaves as it was, and how it runs its passes."""

import random as python_random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import AccessError, Victim
from gmbench.attacks.core import victim
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.core.losses import objective
from gmbench.models import HEADS, NETS, Classifier, Outputs


class Watched(nn.Module):
    """Passes images on and notes how many came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return x


def linear() -> Classifier:
    """Three classes of two pixels: logits x_0, x_1 and -1."""
    head = nn.Linear(2, 3)
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    head.bias.data = torch.tensor([0.0, 0.0, -1.0])
    return Classifier(nn.Flatten(), head).eval()


def test_pieces_change_no_bit(monkeypatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        watched = Watched()
        classifier = Classifier(
            nn.Sequential(watched, NETS.build("digits-conv4", features=16)),
            HEADS.build("lgm", features=16, classes=10),
        )
        x, y = torch.rand(50, 1, 8, 8), torch.randint(10, (50,))

    def run(pixels: int) -> tuple[Tensor, Tensor, Outputs]:
        monkeypatch.setattr(victim, "PIECE", pixels)
        watched.batches.clear()
        with Victim(classifier, samples=50) as attacked:
            value, gradient, outputs = attacked.gradient(x, objective("margin", y, None))
            torch.testing.assert_close(attacked.outputs(x).features, outputs.features, rtol=0, atol=0)
        return value, gradient, outputs

    whole = run(50 * 64)
    assert watched.batches == [50, 50]
    pieces = run(20 * 64)
    assert watched.batches == [17, 17, 16] * 2
    for one, other in zip(whole[:2], pieces[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for name in ("x", "features", "logits", "log_likelihood"):
        torch.testing.assert_close(getattr(whole[2], name), getattr(pieces[2], name), rtol=0, atol=0)


def test_vectors_and_single_images_are_never_split(monkeypatch) -> None:
    monkeypatch.setattr(victim, "PIECE", 1)
    watched = Watched()
    classifier = Classifier(
        nn.Sequential(watched, nn.Flatten()), HEADS.build("softmax", features=4, classes=3)
    )
    classifier.normalise = nn.Identity()
    for x in (torch.rand(40, 4), torch.rand(1, 1, 2, 2)):
        watched.batches.clear()
        with Victim(classifier, samples=len(x)) as attacked:
            attacked.outputs(x)
        assert watched.batches == [len(x)]


X = torch.tensor([[0.9, 0.1], [0.2, 0.6], [0.5, 0.4]])
LOGITS = torch.cat([X, torch.full((3, 1), -1.0)], 1)


def test_passes_are_counted_for_the_images_that_they_were_of() -> None:
    with Victim(linear(), samples=3) as victim:
        victim.outputs(X)
        victim.outputs(X[:2], rows=torch.tensor([2, 0]))
        victim.gradient(X, lambda outputs: outputs.logits[:, 0])
        victim.gradient(X[:1], lambda outputs: outputs.logits[:, 0], rows=torch.tensor([1]))
    assert victim.forwards.tolist() == [3, 3, 3]
    assert victim.backwards.tolist() == [1, 2, 1]
    assert victim.zeros.tolist() == [0, 0, 0]


def test_an_image_that_is_there_several_times_is_counted_as_often() -> None:
    with Victim(linear(), samples=3) as attacked:
        attacked.outputs(X[[2, 0, 2, 2]], torch.tensor([2, 0, 2, 2]))
        assert attacked.forwards.tolist() == [1, 0, 3]


@pytest.mark.parametrize("images", [2, 4])
def test_a_part_of_the_images_must_say_which(images: int) -> None:
    x = torch.rand(images, 2)
    with Victim(linear(), samples=3) as victim:
        for ask in (victim.outputs, lambda x: victim.gradient(x, lambda outputs: outputs.logits[:, 0])):
            with pytest.raises(ValueError, match=f"expected 3 images, or rows that .*, got {images} images"):
                ask(x)
    assert victim.forwards.tolist() == victim.backwards.tolist() == [0, 0, 0]


def test_gradients_are_each_images_own_and_not_averaged() -> None:
    factors = torch.tensor([2.0, -3.0, 0.5])
    x = X.clone()
    with Victim(linear(), samples=3) as victim:
        value, gradient, outputs = victim.gradient(x, lambda outputs: factors * outputs.logits[:, 1])
    torch.testing.assert_close(value, factors * X[:, 1])
    torch.testing.assert_close(gradient, torch.stack([torch.zeros(3), factors], 1))
    torch.testing.assert_close(outputs.logits, LOGITS)
    assert not any(tensor.requires_grad for tensor in (value, outputs.logits, x))


def test_only_gradients_that_are_zero_in_every_pixel_are_counted_as_zero() -> None:
    factors = torch.tensor([0.0, 1e-30, -1e-30])
    with Victim(linear(), samples=3) as victim:
        victim.gradient(X, lambda outputs: factors * outputs.logits[:, 0])
        assert victim.zeros.tolist() == [1, 0, 0]
        victim.gradient(X[:1], lambda outputs: 0 * outputs.logits[:, 0], rows=torch.tensor([2]))
    assert victim.zeros.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("access", "logits"),
    [
        ("white-box", LOGITS),
        ("query", LOGITS),
        ("decision", torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])),
    ],
)
def test_each_access_is_answered_what_it_grants(access: str, logits: Tensor) -> None:
    access = "".join(list(access))  # as read from a file: an equal word, not the very same object
    with Victim(linear(), samples=2, access=access) as victim:
        outputs = victim.outputs(X[:2])
        shown = victim.module()(X[:2])
    torch.testing.assert_close(outputs.logits, logits[:2])
    assert outputs.features.shape == (2, 2 if access == "white-box" else 0)
    torch.testing.assert_close(shown, logits[:2])
    assert not outputs.logits.requires_grad


def test_a_white_box_read_from_a_file_grants_gradients() -> None:
    x = X.clone().requires_grad_()
    with Victim(linear(), samples=3, access="".join(list("white-box"))) as victim:
        _, gradient, _ = victim.gradient(X, lambda outputs: outputs.logits[:, 0])
        victim.module()(x)[:, 0].sum().backward()
    assert torch.equal(x.grad, gradient)


@pytest.mark.parametrize("access", ["transfer", "query", "decision"])
def test_gradients_are_for_the_white_box_alone(access: str) -> None:
    x = X.clone().requires_grad_()
    with Victim(linear(), samples=3, access=access) as victim:
        with pytest.raises(AccessError, match=f"expected access to be white-box for gradients, got {access}"):
            victim.gradient(X, lambda outputs: outputs.logits[:, 0])
        assert not victim.module()(x).requires_grad
    assert victim.backwards.tolist() == [0, 0, 0]


def test_passes_of_another_librarys_attack_are_spread_over_the_images() -> None:
    x = X.clone().requires_grad_()
    with Victim(linear(), samples=2) as victim:
        module = victim.module()
        with torch.no_grad():
            module(X[:2])
        assert (victim.forwards.tolist(), victim.backwards.tolist()) == ([1, 1], [0, 0])
        module(x).sum().backward()  # 5 images over 2 are 2.5 each: rounded up
    assert victim.forwards.tolist() == [3, 3]
    assert victim.backwards.tolist() == [2, 2]


def test_all_is_as_it_was_even_after_an_error() -> None:
    classifier = linear().train()
    classifier.net.eval()
    classifier.head.bias.requires_grad_(False)
    classifier.head.weight.grad = torch.ones(3, 2)
    seed()
    expected = draw()
    seed()

    def attack() -> None:
        with Victim(classifier, samples=3):
            assert not any(module.training for module in classifier.modules())
            assert not any(parameter.requires_grad for parameter in classifier.parameters())
            draw()
            classifier.head.weight.grad = None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attack()
    assert draw() == expected
    assert (classifier.training, classifier.net.training, classifier.head.training) == (True, False, True)
    assert (classifier.head.weight.requires_grad, classifier.head.bias.requires_grad) == (True, False)
    assert torch.equal(classifier.head.weight.grad, torch.ones(3, 2))
    assert classifier.head.bias.grad is None


def seed() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    python_random.seed(1)


def draw() -> tuple[float, ...]:
    return torch.rand(1).item(), np.random.random(), python_random.random()  # noqa: NPY002


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (20 * 64, [17, 17, 16]),  # colours do not count
        (50 * 64 - 1, [25, 25]),
        (1, [13, 13, 13, 11]),  # sixteen at least
    ],
)
def test_pieces_are_even_and_go_by_the_pixels(monkeypatch, pixels: int, expected: list[int]) -> None:
    monkeypatch.setattr(victim, "PIECE", pixels)
    watched = Watched()
    classifier = Classifier(
        nn.Sequential(watched, nn.Flatten()), HEADS.build("softmax", features=192, classes=3)
    )
    x = torch.rand(50, 3, 8, 8)
    with Victim(classifier, samples=50) as attacked:
        outputs = attacked.outputs(x)
    assert watched.batches == expected
    torch.testing.assert_close(outputs.logits, classifier.eval()(x).detach())


@pytest.mark.parametrize("channels", [1, 3])
def test_images_reach_the_net_channels_last(channels: int) -> None:
    """Convolutions then run so from the first on; a single channel must say so by its strides."""
    strides = []

    class Strides(nn.Flatten):
        def forward(self, x: Tensor) -> Tensor:
            strides.append(x.stride())
            return super().forward(x)

    classifier = Classifier(Strides(), HEADS.build("softmax", features=16 * channels, classes=3))
    classifier.normalise = nn.Identity()
    x = torch.rand(5, channels, 4, 4)
    with Victim(classifier, samples=5) as attacked:
        attacked.outputs(x)
        attacked.gradient(x, objective("ce", torch.zeros(5, dtype=torch.int64)))
    assert strides == [(16 * channels, 1, 4 * channels, channels)] * 2


def test_what_is_no_image_needs_no_channels() -> None:
    classifier = Classifier(nn.Flatten(), HEADS.build("softmax", features=6, classes=3))
    for shape in ((5, 6), (5, 2, 3), (5, 1, 1, 2, 3)):
        with Victim(classifier, samples=5) as attacked:
            assert attacked.outputs(torch.rand(shape)).logits.shape == (5, 3)


@pytest.mark.parametrize("there", [False, True])
def test_a_gpus_random_state_is_kept_where_there_is_one(monkeypatch, there: bool) -> None:
    restored: list[list[str]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["state"])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.append)
    with Victim(linear(), samples=3):
        pass
    assert restored == ([["state"]] if there else [])


class Flattening(nn.Module):
    """Flattens features by a view, as old networks do; notes each try."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3, padding=1)
        self.channels_last: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.channels_last.append(x.stride(1) == 1)
        return self.convolution(x).view(len(x), -1)


def test_a_net_that_flattens_by_a_view_is_run_again_without_channels_last() -> None:
    net, x, y = Flattening(), torch.rand(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64)
    classifier = Classifier(net, HEADS.build("softmax", features=32, classes=3)).eval()
    classifier.normalise = nn.Identity()
    expected = classifier(x).detach()
    net.channels_last.clear()
    with Victim(classifier, samples=5) as attacked:
        torch.testing.assert_close(attacked.outputs(x).logits, expected)
        _, gradient, _ = attacked.gradient(x, objective("margin", y))
    assert net.channels_last == [True, False, False]  # tried once
    assert gradient.abs().amax() > 0
    assert attacked.forwards.tolist() == [2] * 5


@pytest.mark.parametrize(("message", "tries"), [("out of memory", 1), (victim.STRIDES, 2)])
def test_other_errors_of_a_net_are_its_own(message: str, tries: int) -> None:
    class Failing(Watched):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise RuntimeError(message)

    failing = Failing()
    classifier = Classifier(failing, HEADS.build("softmax", features=16, classes=3))
    with Victim(classifier, samples=5) as attacked, pytest.raises(RuntimeError, match=message):
        attacked.outputs(torch.rand(5, 1, 4, 4))
    assert len(failing.batches) == tries


class Linear(nn.Module):
    """A linear net that notes in which floats it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 16)
        self.types: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.linear(x.flatten(1))
        self.types.append(features.dtype)
        return features


class Noisy(nn.Module):
    """Logits (x + noise)^2: the mean gradient is 2 x, as long as the noise has mean 0."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return (flat + torch.randn_like(flat)).square()


def noisy() -> Classifier:
    return Classifier(Noisy(), nn.Identity()).eval()


def test_draws_give_the_mean_gradient_of_a_randomised_classifier() -> None:
    x = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))

    def errors(draws: int) -> tuple[float, float, float]:
        torch.manual_seed(0)
        with Victim(noisy(), 2, draws=draws) as attacked:
            value, gradient, outputs = attacked.gradient(x, lambda outputs: outputs.logits.sum(1))
            assert attacked.forwards.tolist() == attacked.backwards.tolist() == [draws, draws]
            again = attacked.outputs(x[:1], torch.tensor([1])).logits
            assert attacked.forwards.tolist() == [draws, 2 * draws]
        expected = x.flatten(1).square() + 1
        torch.testing.assert_close(value, outputs.logits.sum(1))
        return (
            float((gradient - 2 * x).abs().max()),
            float((outputs.logits - expected).abs().max()),
            float((again - expected[:1]).abs().max()),
        )

    assert all(error < 0.5 for error in errors(2000))
    assert all(error > 0.5 for error in errors(1))


def test_draws_change_nothing_of_a_classifier_that_draws_none() -> None:
    found = []
    for draws in (1, 4):
        with Victim(linear(), 3, draws=draws) as attacked:
            value, gradient, outputs = attacked.gradient(X, lambda outputs: outputs.logits[:, 0])
            found.append((value, gradient, *outputs.tensors, attacked.outputs(X).logits))
    torch.testing.assert_close(*found)


def test_a_decision_of_several_draws_is_a_share_of_votes() -> None:
    x = torch.full((1, 1, 2, 2), 0.5)
    torch.manual_seed(0)
    with Victim(noisy(), 1, "decision", draws=400) as attacked:
        votes = attacked.outputs(x).logits
    assert float(votes.sum()) == pytest.approx(1)
    assert (votes - 0.25).abs().max() < 0.1


def test_another_librarys_attack_sees_the_mean_of_the_draws() -> None:
    x = torch.full((1, 1, 2, 2), 0.5)
    torch.manual_seed(0)
    with Victim(noisy(), 1, draws=2000) as attacked:
        logits = attacked.module()(x)
        assert attacked.forwards.tolist() == [2000]
    assert (logits - 1.25).abs().max() < 0.2


def test_no_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="expected draws to be at least 1, got 0"):
        Victim(linear(), 1, draws=0)


def test_bf16_is_for_gradients_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Linear()
        classifier = Classifier(net, HEADS.build("lgm", features=16, classes=10))
        x, y = torch.rand(20, 1, 8, 8), torch.randint(10, (20,))

    def run(precision: str) -> tuple[Tensor, Tensor, Outputs, Outputs]:
        with Victim(classifier, samples=20, precision=precision) as attacked:
            return *attacked.gradient(x, objective("margin", y, None)), attacked.outputs(x)

    fine, rough = run("float32"), run("bf16")
    assert net.types == [torch.float32, torch.float32, torch.bfloat16, torch.float32]
    assert {part.dtype for part in (rough[0], rough[1], rough[2].logits)} == {torch.float32}
    assert rough[3].logits.equal(fine[3].logits)
    assert not rough[1].equal(fine[1])
    same = nn.functional.cosine_similarity(rough[1].flatten(1), fine[1].flatten(1))
    assert same.min() > 0.99


def test_bf16_reaches_another_librarys_attack_where_it_differentiates() -> None:
    net = Linear()
    with Victim(Classifier(net, nn.Linear(16, 10)).eval(), samples=2, precision="bf16") as attacked:
        module = attacked.module()
        module(torch.rand(2, 1, 8, 8))
        module(torch.rand(2, 1, 8, 8).requires_grad_()).sum().backward()
    assert net.types == [torch.float32, torch.bfloat16]


def test_float32_is_computed_in_full() -> None:
    before = torch.backends.cudnn.allow_tf32
    assert before, "torch's default, without which this test says nothing"
    with Victim(linear(), samples=1):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


class Small(nn.Module):
    """A net that has memory for so many images at once; its ``tried`` tells how many came."""

    def __init__(self, room: int, *, with_graph_only: bool) -> None:
        super().__init__()
        self.room, self.with_graph_only = room, with_graph_only
        self.net = NETS.build("digits-conv4", features=16)
        self.tried: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.tried.append(len(x))
        if len(x) > self.room and (torch.is_grad_enabled() or not self.with_graph_only):
            raise torch.OutOfMemoryError("CUDA out of memory")
        features: Tensor = self.net(x)
        return features


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("with_graph_only", [False, True])
@pytest.mark.parametrize("loss", ["margin", "likelihood", "uses x", "uses the score"])
def test_out_of_memory_changes_nothing(precision: str, with_graph_only: bool, loss: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Small(1000, with_graph_only=with_graph_only)
        classifier = Classifier(net, HEADS.build("lgm", features=16, classes=10)).eval()
        x, y = torch.rand(50, 1, 8, 8), torch.randint(10, (50,))
    weights = torch.arange(1.0, 51)  # an objective may treat each image of the batch in its own way

    def climb(outputs: Outputs) -> Tensor:
        if loss == "uses x":
            return weights * (outputs.x.flatten(1).pow(2).sum(1) + outputs.features.sum(1))
        if outputs.score is not None and loss == "uses the score":
            return weights * outputs.score
        return weights * objective(loss, y, None)(outputs)

    known = KnownDetector("power", lambda outputs: outputs.features.pow(2).sum(1), 0.0)

    def run() -> tuple[Tensor, Tensor, Outputs, Outputs, Victim]:
        with Victim(classifier, 50, known=known, precision=precision) as attacked:
            return *attacked.gradient(x, climb), attacked.outputs(x), attacked

    whole = run()
    net.room, net.tried = 20, []
    pieces = run()
    assert max(net.tried) == 50, "the first try is of everything"
    assert 13 in net.tried
    for one, other in zip(whole[:2], pieces[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(whole[2:4], pieces[2:4], strict=True):
        for name in ("x", "features", "logits", "log_likelihood", "score"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name))
    for name in ("forwards", "backwards", "zeros"):
        assert getattr(whole[4], name).equal(getattr(pieces[4], name))


def test_an_image_that_does_not_fit_alone_is_told() -> None:
    classifier = Classifier(Small(0, with_graph_only=False), nn.Linear(16, 3)).eval()
    with Victim(classifier, samples=4) as attacked, pytest.raises(torch.OutOfMemoryError):
        attacked.outputs(torch.rand(4, 1, 8, 8))


@pytest.mark.parametrize("differentiable", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_out_of_memory_keeps_a_known_detectors_slope(differentiable: bool, precision: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Small(1000, with_graph_only=False)
        classifier = Classifier(net, HEADS.build("lgm", features=16, classes=10)).eval()
        x = torch.rand(50, 1, 8, 8)
    seen = []

    def score(outputs: Outputs) -> Tensor:
        made = outputs.features @ torch.ones(16, 1)  # a product, which autocast would round
        seen.append(made.dtype)
        return made.squeeze(1)

    known = KnownDetector("sum", score, threshold=0.0, differentiable=differentiable)

    def climb(outputs: Outputs) -> Tensor:
        return outputs.logits.amax(1) - outputs.score

    def run() -> tuple[Tensor, Tensor]:
        with Victim(classifier, 50, known=known, precision=precision) as attacked:
            return attacked.gradient(x, climb)[:2]

    whole = run()
    net.room = 20
    for one, other in zip(whole, run(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert set(seen) == {torch.float32}
    net.room, known = 1000, None
    with Victim(classifier, 50, precision=precision) as attacked:
        without = attacked.gradient(x, lambda outputs: outputs.logits.amax(1))[1]
    assert without.allclose(whole[1]) is not differentiable
