"""gmbench: does a classifier with a likelihood-based defense really hold?

In a notebook, ``import gmbench as gm``:

    model = gm.load("digits-lgm-s0")                      # or gm.wrap(module, mean=..., std=..., name="mine")
    x, y = gm.load_data("digits", "test", samples=200)
    run = gm.attack(model, x, y, gm.PGD(steps=40), eps=0.3)
    found = gm.detect(run, "likelihood")
    board = gm.evaluate(model, suite="digits-v2")         # what ``gmbench run`` does
    gm.compare(board, "lgm", "softmax")

On the command line: compose a `Classifier`, perhaps write a `Detector`, return a `Defense` from ``build()``
and run ``gmbench run SUITE --defense FILE.py``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .attacks import ATTACKS, Attack, ThreatModel, Victim
from .attacks.apgd import APGD
from .attacks.autoattack import APGDFABSquare, AutoAttack
from .attacks.cw import CW
from .attacks.ddn import DDN
from .attacks.evasion import Evasion
from .attacks.fab import FAB
from .attacks.feature_matching import FeatureMatching
from .attacks.fgsm import FGSM
from .attacks.fmn import FMN
from .attacks.hopskipjump import HopSkipJump
from .attacks.likelihood_fgsm import LikelihoodFGSM
from .attacks.mi_fgsm import MIFGSM
from .attacks.minimal_evasion import MinimalEvasion
from .attacks.orthogonal_pgd import OrthogonalPGD
from .attacks.pgd import PGD
from .attacks.selective_pgd import SelectivePGD
from .attacks.square import Square
from .attacks.square_evasion import SquareEvasion
from .attacks.ti_dim import TIDIM
from .attacks.uniform_noise import UniformNoise
from .benchmark.engine.defense import Defense
from .detectors import DETECTORS, Detector
from .models import HEADS, NETS, About, Classifier, Head, Outputs, load_checkpoint
from .models.plugins import load_plugin

if TYPE_CHECKING:
    from .benchmark.api.attacking import AttackRun, attack
    from .benchmark.api.detecting import Detection, detect
    from .benchmark.api.evaluation import Board, compare, evaluate
    from .benchmark.api.model import Model, load, load_data, wrap

__version__ = "0.1.0"

__all__ = [
    "APGD",
    "ATTACKS",
    "CW",
    "DDN",
    "DETECTORS",
    "FAB",
    "FGSM",
    "FMN",
    "HEADS",
    "MIFGSM",
    "NETS",
    "PGD",
    "TIDIM",
    "APGDFABSquare",
    "About",
    "Attack",
    "AttackRun",
    "AutoAttack",
    "Board",
    "Classifier",
    "Defense",
    "Detection",
    "Detector",
    "Evasion",
    "FeatureMatching",
    "Head",
    "HopSkipJump",
    "LikelihoodFGSM",
    "MinimalEvasion",
    "Model",
    "OrthogonalPGD",
    "Outputs",
    "SelectivePGD",
    "Square",
    "SquareEvasion",
    "ThreatModel",
    "UniformNoise",
    "Victim",
    "attack",
    "compare",
    "detect",
    "evaluate",
    "load",
    "load_checkpoint",
    "load_data",
    "load_plugin",
    "wrap",
]

_LATER = {
    "attacking": ("AttackRun", "attack"),
    "detecting": ("Detection", "detect"),
    "evaluation": ("Board", "compare", "evaluate"),
    "model": ("Model", "load", "load_data", "wrap"),
}
"""What is imported when it is first asked for, by its module: pandas and matplotlib take their time."""


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f".benchmark.api.{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
