"""What is attacked: networks, one head and loss per paper, recipes, and the zoo of checkpoints.

Imports no other package of ours. Begin with `classifier` (what everything else sees of a model), then `heads`
(the losses); `foreign` has other people's models.
"""

from .about import About
from .checkpoint import Card, CheckpointError, checkpoints, load_checkpoint, read_card, save_checkpoint
from .classifier import Classifier, Outputs
from .heads import HEADS, Head
from .nets import NETS
from .recipe import Recipe, load_recipe
from .registry import Registry

__all__ = [
    "HEADS",
    "NETS",
    "About",
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
