"""Attacks, one file each, with the losses, norms and random numbers that they share."""

from ..models.registry import import_modules
from .attack import ATTACKS, Attack
from .randomness import SampleRandom
from .threat import ThreatModel
from .victim import AccessError, Victim

import_modules(__name__, __path__)

__all__ = ["ATTACKS", "AccessError", "Attack", "SampleRandom", "ThreatModel", "Victim"]
