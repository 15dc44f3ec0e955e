"""What every detector keeps to, on features whose classes are known Gaussians."""

import copy
import dataclasses

import safetensors.torch
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ...detectors import Detector
from ...models.classifier import Outputs
from .hold import hold, refused, works

__all__ = [
    "D",
    "World",
    "check_alone",
    "check_configuration",
    "check_detector",
    "check_fit",
    "check_gradients",
    "check_restored",
    "check_unfitted",
    "check_world",
    "fitted",
    "learns",
]

D = 5


def check_detector(detector: Detector) -> None:
    """Hold a detector to all that a suite relies on.

    It scores separated outliers higher, in either precision, each image by itself; a second fit forgets the
    first, draws no random numbers and keeps no graph; its fields are its configuration; one that learns
    refuses to score before it is fitted, and tensors that it has learned serve another one; its scores are
    differentiable where it says so.

    Args:
        detector: Unfitted; copies of it are fitted.

    Raises:
        AssertionError: It breaks one; one line that says which.
    """
    check_configuration(detector)
    for classes in (2, 3):
        for dtype in (torch.float32, torch.float64):
            check_world(detector, classes, dtype)
    check_alone(detector)
    check_fit(detector)
    check_restored(detector)
    check_gradients(detector)
    if learns(detector):
        check_unfitted(detector)


class World:
    """K unit Gaussians in D dimensions, all pairs equally far apart, and the classifier that knows them."""

    def __init__(self, classes: int = 3, dtype: torch.dtype = torch.float64, shift: float = 0.0) -> None:
        self.classes, self.dtype, self.shift = classes, dtype, shift
        self.means = 8 * torch.eye(classes, D, dtype=dtype)

    def outputs(self, features: Tensor) -> Outputs:
        """Compute the Gaussian mixture's outputs; images are not needed."""
        log_likelihood = -(features.unsqueeze(1) - self.means).square().sum(2) / 2 + self.shift
        return Outputs(features.new_zeros(len(features), 0), features, log_likelihood, log_likelihood)

    def clean(self, count: int, seed: int) -> tuple[Outputs, Tensor]:
        """Draw clean samples, every class in turn."""
        generator = torch.Generator().manual_seed(seed)
        y = torch.arange(count) % self.classes
        noise = torch.randn(count, D, generator=generator, dtype=torch.float64).to(self.dtype)
        return self.outputs(self.means[y] + noise), y

    def ray(self, lengths: Tensor | list[float], source: int = 0, target: int = 1) -> Outputs:
        """Leave a class's mean, at 0, for the border to another, at 1, and out of the space of the means."""
        away = 0.45 * (self.means[target] - self.means[source])
        away[-1] += 6
        return self.outputs(
            self.means[source] + torch.as_tensor(lengths, dtype=self.dtype).unsqueeze(1) * away
        )


def learns(detector: Detector) -> bool:
    """Tell whether it must be fitted before it scores."""
    return type(detector).learn is not Detector.learn


def fitted(detector: Detector, world: World) -> Detector:
    """Fit a copy to a world's training samples."""
    with works(f"fit of {detector!r}"):
        return copy.deepcopy(detector).fit(*world.clean(60 * world.classes, seed=0))


def check_world(detector: Detector, classes: int, dtype: torch.dtype, shift: float = 0.0) -> None:
    """Outliers score higher than clean samples; scores are finite, (B,), of the features' type."""
    world = World(classes, dtype, shift)
    ready = fitted(detector, world)
    with works(f"score of {detector!r}"):
        clean, far = (
            ready.score(world.clean(100, seed=1)[0]),
            ready.score(world.ray(torch.linspace(0.7, 1, 50))),
        )
    for scores, count in ((clean, 100), (far, 50)):
        got = tuple(scores.shape), scores.dtype
        hold(got == ((count,), dtype), f"expected {detector!r} to score (({count},), {dtype}), got {got}")
        hold(scores.isfinite().all(), f"{detector!r} gives NaN or infinity for finite features")
    auroc = roc_auc_score([0] * 100 + [1] * 50, torch.cat([clean, far]).detach().numpy())
    hold(
        auroc > 0.9,
        f"{detector!r} tells outliers from clean samples with an AUROC of {auroc:.2f}; is the sign right? "
        "Higher is more suspicious",
    )


def check_configuration(detector: Detector) -> None:
    """Its fields build it again; what it learns is none of them, and neither shown nor compared."""
    kind = type(detector)
    hold(dataclasses.is_dataclass(kind), f"expected {kind.__name__} to be a dataclass")
    for entry in dataclasses.fields(detector):
        learned = entry.name.endswith("_")
        hold(
            entry.init != learned and (entry.init or not (entry.repr or entry.compare)),
            f"expected {kind.__name__}.{entry.name} to be configuration, or to end in an underscore and be "
            "field(init=False, repr=False, compare=False)",
        )
    before = detector.configuration()
    ready = fitted(detector, World())
    hold(ready.configuration() == before, f"fit changed the configuration of {detector!r}")
    with works(f"{kind.__name__} from its configuration"):
        hold(kind(**before) == ready, f"expected {kind.__name__}(**{before}) to equal {ready!r}")


def check_alone(detector: Detector) -> None:
    """Each sample is scored by itself, in any batch and order."""
    world = World()
    ready, (outputs, _) = fitted(detector, world), world.clean(30, seed=2)
    together = ready.score(outputs)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    others = {
        "one by one": torch.cat([ready.score(outputs[i : i + 1]) for i in range(30)]),
        "in two parts": torch.cat([ready.score(outputs[:17]), ready.score(outputs[17:])]),
        "in another order": ready.score(outputs[order])[order.argsort()],
    }
    for how, scores in others.items():
        hold(
            torch.allclose(scores, together, rtol=1e-12, atol=1e-12),
            f"{detector!r} scores samples otherwise {how}",
        )
    with works(f"{detector!r} on no samples"):
        hold(ready.score(outputs[:0]).shape == (0,), f"{detector!r} gives scores for no samples")


def check_fit(detector: Detector) -> None:
    """Fit returns the detector, draws nothing, keeps no graph; a second one forgets the first."""
    world, other = World(), World()
    other.means = world.means * 3
    outputs, _ = world.clean(40, seed=1)
    one = copy.deepcopy(detector).fit(*other.clean(120, seed=3))
    state = torch.random.get_rng_state()
    hold(one.fit(*world.clean(180, seed=0)) is one, f"expected fit of {detector!r} to return the detector")
    scores = one.score(outputs)
    hold(torch.equal(torch.random.get_rng_state(), state), f"{detector!r} draws torch's global numbers")
    hold(torch.equal(scores, fitted(detector, world).score(outputs)), f"{detector!r} remembers another fit")
    hold(torch.equal(scores, one.score(outputs)), f"{detector!r} scores otherwise the second time")
    train, y = world.clean(60, seed=0)
    graph = copy.deepcopy(detector).fit(world.outputs(train.features.requires_grad_()), y)
    hold(not graph.score(outputs).requires_grad, f"{detector!r} keeps the graph of what it was fitted on")


def check_restored(detector: Detector) -> None:
    """What it has learned, if that is tensors, makes another one score to the bit as it does."""
    world = World()
    ready, (outputs, _) = fitted(detector, world), world.clean(40, seed=1)
    learned = ready.learned()
    if learned is None:
        return
    kept = safetensors.torch.load(safetensors.torch.save(learned))
    with works(f"restore of {detector!r}"):
        other = copy.deepcopy(detector).restore(kept)
        scores = other.score(outputs)
    hold(torch.equal(scores, ready.score(outputs)), f"{detector!r} scores otherwise after restore")
    again = other.learned() or {}
    same = again.keys() == learned.keys() and all(again[name].equal(learned[name]) for name in learned)
    hold(same, f"{detector!r} has learned something else after restore")


def check_gradients(detector: Detector) -> None:
    """`differentiable` says the truth."""
    world = World()
    ready = fitted(detector, world)
    mixing = torch.randn(7, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (world.clean(6, seed=1)[0].features @ torch.linalg.pinv(mixing)).requires_grad_()

    def score(x: Tensor) -> Tensor:
        return ready.score(world.outputs(x @ mixing))

    if not detector.differentiable:
        hold(not score(x).requires_grad, f"{detector!r} says it is not differentiable and has a gradient")
        return
    with works(f"the gradient of {detector!r}, which says it is differentiable,"):
        torch.autograd.gradcheck(score, x)
        [gradient] = torch.autograd.grad(score(x).sum(), x)
    hold((gradient.norm(dim=1) > 0).all(), f"{detector!r} has a gradient of 0 for a sample")


def check_unfitted(detector: Detector) -> None:
    """One that learns refuses to score before it is fitted, and after a fit that failed."""
    world = World()
    outputs, y = world.clean(60, seed=0)
    refused(
        f"score of {detector!r} before fit",
        lambda: copy.deepcopy(detector).score(outputs),
        NotFittedError,
        "to be fitted; call fit(outputs, y) with the training split first",
    )
    one = fitted(detector, world)
    wrong = dataclasses.replace(outputs, features=outputs.features * torch.nan)
    refused(f"fit of {detector!r} on NaN", lambda: one.fit(wrong, y), ValueError, "finite")
    refused(f"score of {detector!r} after a fit that failed", lambda: one.score(outputs), NotFittedError)
