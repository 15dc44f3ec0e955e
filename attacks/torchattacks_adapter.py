"""FGSM, PGD, CW and Square of torchattacks 3.5.1 as a second engine, made safe.

Kim, "Torchattacks: a PyTorch repository for adversarial attacks", arXiv 2010.01950. What the adapter mends,
and what it cannot:

* CW multiplies logits by a 0/1 mask and takes a maximum, so negative logits have no gradient; each image's
  logits are shifted until all are positive, which no loss here sees.
* CW maps pixels at exactly 0 or 1 to infinity, where they never move; they are moved inside by 5e-7 first, as
  in Carlini and Wagner's code.
* FGSM and PGD average the loss over the batch, and PGD in L2 adds 1e-10 to the gradient's length, which is
  more than the gradient itself where cross-entropy saturates. They use its direction alone, so each image's
  gradient is scaled to 1 at the logits.
* Modes, flags, gradients and the global random state are put right by the `Victim`; the seed comes from the
  images' own streams.
* PGD and Square draw from one generator for the whole batch, and CW stops on the loss of the batch: there *an
  image's result depends on its neighbours*.
* FGSM and PGD ascend cross-entropy, which saturates on Gaussian logits, and PGD returns its last iterate.

Its AutoAttack is not the published one (10 steps, 10 classes) and is left out.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.norms import NORMS, column
from .core.randomness import SampleRandom
from .core.threat import ThreatModel, grants
from .core.victim import AccessError, Victim

__all__ = ["TorchattacksCW", "TorchattacksFGSM", "TorchattacksPGD", "TorchattacksSquare"]

SQUEEZE = 5e-7
"""Nearest distance to 0 and 1 in tanh space: (1 - .999999) / 2, Carlini and Wagner's."""

ROUNDING = 1e-6
"""How far an overstep of eps counts as rounding.

Beyond it the result is handed on as it is, for the judge to refuse.
"""


class _Torchattacks(Attack):
    """One attack of torchattacks; subclasses say how to build it.

    Attributes:
        direction_only: Whether the length of an image's gradient does not matter to it.
    """

    batch_independent = False
    direction_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _library()

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        if not grants(victim.access, self.access):
            raise AccessError(
                f"expected access to be {self.access} or more for {type(self).__name__}, got {victim.access}"
            )
        seed = random.seed()
        torch.manual_seed(seed)
        # In evaluation mode from the start: torchattacks puts whatever was in training mode, with all its
        # parts, back into it.
        model = _SafeModel(victim, x.device, self.direction_only).eval()
        return _settle(x, self._attack(model, threat, seed)(x, y).detach(), threat)

    @abstractmethod
    def _attack(self, model: nn.Module, threat: ThreatModel, seed: int) -> Any:
        """Build torchattacks' attack, (B, *S), (B,) -> (B, *S)."""


@ATTACKS.register("torchattacks-fgsm")
@dataclass(frozen=True)
class TorchattacksFGSM(_Torchattacks):
    """One step of length eps up the cross-entropy."""

    about = About(title="FGSM of torchattacks", citation="Kim 2020", paper="arXiv 2010.01950")

    norms = ("Linf",)
    batch_independent = True
    direction_only = True

    def passes(self) -> tuple[int, int]:
        return 1, 1

    def _attack(self, model: nn.Module, threat: ThreatModel, seed: int) -> Any:
        return _library().FGSM(model, eps=threat.eps)


@ATTACKS.register("torchattacks-pgd")
@dataclass(frozen=True)
class TorchattacksPGD(_Torchattacks):
    """Steps up the cross-entropy; the last iterate, not the best.

    Args:
        steps: Gradients, > 0.
        step: Length of a step in units of eps, > 0; None is 2.5 / steps (Madry et al.).
        random_start: Whether it starts at a random point of the ball.
    """

    about = About(title="PGD of torchattacks", citation="Kim 2020", paper="arXiv 2010.01950")

    direction_only = True

    steps: int = 40
    step: float | None = None
    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, "steps")
        if self.step is not None:
            _check_positive(self, "step")

    def passes(self) -> tuple[int, int]:
        return self.steps, self.steps

    def _attack(self, model: nn.Module, threat: ThreatModel, seed: int) -> Any:
        engine = _library().PGD if threat.norm == "Linf" else _library().PGDL2
        length = (2.5 / self.steps if self.step is None else self.step) * threat.eps
        return engine(model, eps=threat.eps, alpha=length, steps=self.steps, random_start=self.random_start)


@ATTACKS.register("torchattacks-cw")
@dataclass(frozen=True)
class TorchattacksCW(_Torchattacks):
    """Minimise |delta|^2 + c max(z_y - max_{k != y} z_k, -kappa) at one c for all images.

    What lands outside the ball is projected onto it.

    Args:
        c: Weight of the margin, > 0.
        kappa: Margin that is enough, >= 0.
        steps: Steps of Adam, > 0.
        lr: Its learning rate, > 0. With torchattacks' own defaults, 50 steps at .01, a pixel that is 0 or 1
            ends within 1e-6 of it.
    """

    about = About(title="C&W of torchattacks", citation="Kim 2020", paper="arXiv 2010.01950")

    norms = ("L2",)
    minimises = True

    c: float = 1.0
    kappa: float = 0.0
    steps: int = 200
    lr: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("c", "steps", "lr"):
            _check_positive(self, name)
        if not self.kappa >= 0:
            raise ValueError(f"expected kappa to be >= 0, got {self.kappa}")

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        x_adv = super().__call__(victim, x.clamp(SQUEEZE, 1 - SQUEEZE), y, threat, random=random)
        return NORMS[threat.norm].perturb(x, x_adv - x, threat.eps)

    def passes(self) -> tuple[int, int]:
        return self.steps, self.steps

    def _attack(self, model: nn.Module, threat: ThreatModel, seed: int) -> Any:
        return _library().CW(model, c=self.c, kappa=self.kappa, steps=self.steps, lr=self.lr)


@ATTACKS.register("torchattacks-square")
@dataclass(frozen=True)
class TorchattacksSquare(_Torchattacks):
    """Random search on the margin with one window for the whole batch.

    An image that is fooled is asked no more.

    Args:
        queries: Forward passes per image, > 0; it needs up to four more.
        p_init: Share of the image that the first squares cover, in (0, 1].
    """

    about = About(title="Square of torchattacks", citation="Kim 2020", paper="arXiv 2010.01950")

    access = "query"
    norms = ("Linf",)

    queries: int = 1000
    p_init: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, "queries")
        if not 0 < self.p_init <= 1:
            raise ValueError(f"expected p_init to be in (0, 1], got {self.p_init}")

    def passes(self) -> tuple[int, int]:
        return self.queries + 4, 0

    def _attack(self, model: nn.Module, threat: ThreatModel, seed: int) -> Any:
        return _library().Square(
            model, norm=threat.norm, eps=threat.eps, n_queries=self.queries, p_init=self.p_init, seed=seed
        )


class _SafeModel(nn.Module):
    """The victim's logits, shifted so that every image's smallest is 1."""

    def __init__(self, victim: Victim, device: torch.device, direction_only: bool) -> None:
        super().__init__()
        # torchattacks reads the device off the first parameter, and prints where there is none.
        self.device = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.victim = victim.module()
        self.direction_only = direction_only

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.victim(x)
        if self.direction_only and logits.requires_grad:
            logits.register_hook(_scaled)
        # Positive, not just >= 0: at a tie with the masked zero the maximum may pick the mask, which has no
        # gradient.
        return logits - logits.detach().amin(1, keepdim=True) + 1


def _scaled(gradient: Tensor) -> Tensor:
    """Scale each row until its largest entry is 1; rows of zeros stay, (B, K) -> (B, K)."""
    largest = gradient.abs().amax(1, keepdim=True)
    return gradient / torch.where(largest == 0, 1, largest)


def _settle(x: Tensor, x_adv: Tensor, threat: ThreatModel) -> Tensor:
    """Take what is outside by rounding back into the ball and the box, and nothing else.

    (B, *S), (B, *S) -> (B, *S).
    """
    norm = NORMS[threat.norm]
    inside = norm.perturb(x, x_adv - x, threat.eps)
    rounded = norm.size(inside - x_adv) <= ROUNDING
    return torch.where(column(rounded, x), inside, x_adv)


def _check_positive(attack: Attack, name: str) -> None:
    if not getattr(attack, name) > 0:
        raise ValueError(f"expected {name} to be > 0, got {getattr(attack, name)}")


def _library() -> Any:
    try:
        import torchattacks
    except ModuleNotFoundError as error:
        if error.name != "torchattacks":
            raise
        raise ModuleNotFoundError(
            "torchattacks is not installed; pip install 'gmbench[torchattacks]'", name="torchattacks"
        ) from None
    return torchattacks
