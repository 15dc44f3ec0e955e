"""What is attacked: networks, one head and loss per paper, recipes, and the zoo of checkpoints."""

from .checkpoint import Card, CheckpointError, checkpoints, load_checkpoint, read_card, save_checkpoint
from .classifier import Classifier, Outputs
from .head import HEADS, Head
from .nets import NETS
from .recipe import Recipe, load_recipe
from .registry import Registry, import_modules

import_modules(__name__, __path__)

__all__ = [
    "HEADS",
    "NETS",
    "Card",
    "CheckpointError",
    "Classifier",
    "Head",
    "Outputs",
    "Recipe",
    "Registry",
    "checkpoints",
    "load_checkpoint",
    "load_recipe",
    "read_card",
    "save_checkpoint",
]
