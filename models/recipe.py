"""A recipe: everything that decides a training but the data, as one TOML file.

``models/recipes/NAME.toml`` holds ours; a path to any other TOML file works as well.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError

from .about import Variant
from .classifier import Classifier
from .files import RECIPES, Name, check_name
from .heads.adversarial import Hardening
from .heads.head import HEADS, Head
from .nets import NETS
from .registry import check_known
from .validation import Several, Written, explain, read_toml

__all__ = ["RECIPES", "Recipe", "build_classifier", "load_recipe", "recipes"]

Positive = Annotated[float, Field(gt=0)]
_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, (list, tuple)) else (value,))
_AS_WRITTEN = PlainSerializer(lambda values: values[0] if len(values) == 1 else values)


class Recipe(Written):
    """What to train and how.

    Args:
        name: Also the name of the checkpoint.
        source: Where the settings come from, in a sentence.
        data: Name of the data set.
        net: Name of the feature network.
        features: D.
        mean: Subtracted from the input, a number or one per channel.
        std: Divides the input, likewise, > 0.
        loss: ``name`` of the loss and its options.
        adversary: Perturbs every batch of the training, whatever the loss; None for clean images.
        about: What the models are called where not by their loss; needed with an adversary.
        epochs: Passes over the training split.
        batch: Images per step.
        lr: Highest learning rate.
        drops: Shares of the training, each in (0, 1), at which the learning rate is multiplied by ``drop``;
            with none, it follows a one-cycle schedule.
        drop: See ``drops``, in (0, 1].
        weight_decay: On every parameter.
        clip: Largest gradient norm of a step; longer ones are shortened to it; None for no limit.
        padding: Pixels of the random shift, 0 for none.
        flip: Whether an image is mirrored left to right half of the time.
        bf16: Whether the network computes in bfloat16 where the processor has it; the head never does.
        weights: Type that the trained parameters are rounded to and stored in, at half the size; buffers keep
            theirs.
    """

    name: Name
    source: str
    data: str
    net: str
    features: int = Field(gt=0)
    mean: Annotated[tuple[float, ...], _AS_TUPLE, _AS_WRITTEN] = (0.0,)
    std: Annotated[tuple[Positive, ...], _AS_TUPLE, _AS_WRITTEN] = (1.0,)
    loss: dict[str, Any]
    adversary: Hardening | None = None
    about: Variant | None = None
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    lr: float = Field(gt=0)
    drops: Several[Annotated[float, Field(gt=0, lt=1)]] = ()
    drop: float = Field(0.1, gt=0, le=1)
    weight_decay: float = Field(ge=0)
    clip: float | None = Field(None, gt=0)
    padding: int = Field(0, ge=0)
    flip: bool = False
    bf16: bool = True
    weights: Literal["float32", "float16"] = "float32"

    @property
    def group(self) -> str:
        """What frames call the loss of its models: seeds of one recipe, pooled in tables."""
        return self.about.name if self.about else str(self.loss["name"])


def recipes() -> list[str]:
    """Name the recipes of the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by name or path.

    Raises:
        ValueError: No such recipe, net, loss or option, no TOML or none that can be read, or a key is
            misspelt, missing or out of range.
    """
    path = Path(name)
    if path.suffix != ".toml":
        check_known("recipe", name, recipes(), ValueError)
        path = RECIPES / f"{name}.toml"
    table = read_toml(path, "recipe")
    try:
        recipe = Recipe(**table)
    except ValidationError as error:
        raise ValueError(f"{path.name}: {explain(error, Recipe)}") from None
    try:
        with torch.random.fork_rng(devices=[]):
            # every loss takes so many; the data's own number comes later
            build_classifier(recipe, classes=max(recipe.features, 2))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    return recipe


def build_classifier(recipe: Recipe, classes: int) -> Classifier:
    """Build the recipe's classifier with weights drawn from torch's global generator.

    Raises:
        UnknownName: No such net or loss.
        ValueError: No such option.
    """
    options = {key: value for key, value in recipe.loss.items() if key != "name"}
    if "name" not in recipe.loss:
        raise ValueError(f"expected [loss] to have a name, one of {', '.join(HEADS)}")
    if taken := sorted(HEADS.given & set(options)):
        raise ValueError(f"expected [loss] not to have '{taken[0]}': it is the recipe's or the data's")
    net = NETS.build(recipe.net, features=recipe.features)
    head: Head = HEADS.build(recipe.loss["name"], features=recipe.features, classes=classes, **options)
    _check_adversary(recipe, head)
    return Classifier(net, head, recipe.mean, recipe.std).to(memory_format=torch.channels_last)


def _check_adversary(recipe: Recipe, head: Head) -> None:
    """See that a recipe says what it is, and that no loss meets two adversaries."""
    if recipe.about:
        check_name("the name of [about]", recipe.about.name)
    if recipe.about and recipe.about.name in HEADS:
        raise ValueError(
            f"expected [about] to have a name that no loss has, got '{recipe.about.name}'; tables would pool "
            "its models with that loss's"
        )
    if recipe.adversary is None:
        return
    if type(head).training_loss is not Head.training_loss:
        raise ValueError(f"expected no [adversary] beside loss '{recipe.loss['name']}', which has its own")
    if recipe.about is None or not recipe.about.citation:
        raise ValueError(
            "expected a recipe with [adversary] to have a table [about] with name, title and citation: "
            "neither is its loss's own"
        )
