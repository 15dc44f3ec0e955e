"""Detectors, one idea per file: how suspicious an image is, told from what the classifier makes of it.

May import `models` alone. Begin with `detector` (what all of them are), then `msp`, the shortest.
"""

from ..models.registry import import_modules
from .detector import DETECTORS, Detector

import_modules(__name__, __path__)

__all__ = ["DETECTORS", "Detector"]
