"""Losses, one paper a file: each is a head, which has the logits of the test and the loss of the training.

May import what lies in `models`. Begin with `head` (what all of them are), then `softmax` and `lgm`.
"""

from ..registry import import_modules
from .head import HEADS, Head

import_modules(__name__, __path__)

__all__ = ["HEADS", "Head"]
