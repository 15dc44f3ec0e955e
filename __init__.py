"""gmbench: does a classifier with a likelihood-based defense really hold?

What a user needs to enter the benchmark with a defense of their own: compose a `Classifier`, perhaps write a
`Detector`, return a `Defense` from ``build()`` and run ``gmbench run SUITE --defense FILE.py``.
"""

from .attacks import ATTACKS, Attack, ThreatModel, Victim
from .benchmark.engine.defense import Defense
from .detectors import DETECTORS, Detector
from .models import HEADS, NETS, Classifier, Head, Outputs, load_checkpoint

__version__ = "0.1.0"

__all__ = [
    "ATTACKS",
    "DETECTORS",
    "HEADS",
    "NETS",
    "Attack",
    "Classifier",
    "Defense",
    "Detector",
    "Head",
    "Outputs",
    "ThreatModel",
    "Victim",
    "load_checkpoint",
]
