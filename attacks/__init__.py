"""Attacks, one file each.

May import `models` alone; what they share (victim, threat model, losses, norms, random numbers) lies in
`core`. Begin with `fgsm`, the shortest, then `pgd`.
"""

from ..models.registry import import_modules
from .core.attack import ATTACKS, Attack
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import AccessError, Victim

import_modules(__name__, __path__)

__all__ = ["ATTACKS", "AccessError", "Attack", "SampleRandom", "ThreatModel", "Victim"]
