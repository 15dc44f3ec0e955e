"""Recipes, and one clear line for each way in which one can be wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gmbench.models import HEADS, load_recipe
from gmbench.models.heads.adversarial import Hardening
from gmbench.models.losses import about_loss, known_losses
from gmbench.models.recipe import RECIPES, build_classifier, recipes
from gmbench.models.validation import read_toml

GOOD = """\
name = "own"
source = "This test."
data = "digits"
net = "digits-mlp"
features = 4
epochs = 2
batch = 8
lr = 0.1
weight_decay = 0.0

[loss]
name = "lgm"
alpha = 0.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(GOOD)
    return path


def test_reads_a_file_and_fills_in_the_defaults(file: Path) -> None:
    recipe = load_recipe(str(file))
    assert (recipe.name, recipe.features, recipe.lr) == ("own", 4, 0.1)
    assert recipe.loss == {"name": "lgm", "alpha": 0.5}
    assert (recipe.mean, recipe.std, recipe.clip, recipe.padding, recipe.bf16) == ((0,), (1,), None, 0, True)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("epochs = 2", "epoch = 2", "own.toml: no key named 'epoch'; did you mean 'epochs'?"),
        ("epochs = 2", "", "own.toml: expected a key 'epochs'"),
        (
            "features = 4",
            "features = 0",
            "own.toml: expected 'features' to be greater than 0, got 0",
        ),
        (
            "lr = 0.1",
            "lr = -0.1",
            "own.toml: expected 'lr' to be greater than 0, got -0.1",
        ),
        (
            "lr = 0.1",
            "lr = 0.1\nstd = 0",
            "own.toml: expected 'std.0' to be greater than 0, got 0",
        ),
        ("lr = 0.1", 'lr = "fast"', "own.toml: expected 'lr' to be a valid number, got 'fast'"),
        ("epochs = 2", "epochs = true", "own.toml: expected 'epochs' to be a valid integer, got True"),
        ("epochs = 2", 'epochs = "2"', "own.toml: expected 'epochs' to be a valid integer, got '2'"),
        ("lr = 0.1", "lr = 0.1\ndrops = 0.5", "own.toml: expected 'drops' to be a list, got 0.5"),
        (
            "lr = 0.1",
            "lr = 0.1\ndrops = [1.5]",
            "own.toml: expected 'drops.0' to be less than 1, got 1.5",
        ),
        (
            "lr = 0.1",
            'lr = 0.1\nweights = "float8"',
            "own.toml: expected 'weights' to be 'float32' or 'float16', got 'float8'",
        ),
        ("lr = 0.1", "lr = = 0.1", "own.toml is no valid TOML: "),
        ('net = "digits-mlp"', 'net = "digit-mlp"', "no net named 'digit-mlp'; did you mean 'digits-mlp'?"),
        ('name = "lgm"', 'name = "lmg"', "no loss named 'lmg'; "),
        ('name = "lgm"', "", "expected [loss] to have a name, one of center, "),
        ("alpha = 0.5", "alfa = 0.5", "no option of loss 'lgm' named 'alfa'; did you mean 'alpha'?"),
        ("alpha = 0.5", "alpha = -0.5", "expected alpha, alpha_start and weight to be >= 0, got -0.5, "),
        ("alpha = 0.5", 'alpha = "big"', "expected option 'alpha' of loss 'lgm' to be float, got 'big'"),
        (
            "alpha = 0.5",
            'log_det = "false"',
            "expected option 'log_det' of loss 'lgm' to be bool, got 'false'",
        ),
        ("alpha = 0.5", "features = 3", "expected [loss] not to have 'features'"),
    ],
)
def test_a_wrong_recipe_gets_one_line(file: Path, right: str, wrong: str, message: str) -> None:
    assert right in GOOD
    file.write_text(GOOD.replace(right, wrong))
    with pytest.raises((ValueError, KeyError)) as caught:
        load_recipe(str(file))
    assert str(caught.value).removeprefix("own.toml: ").startswith(message.removeprefix("own.toml: "))
    assert str(caught.value).startswith("own.toml")
    assert "\n" not in str(caught.value)


def test_unknown_recipe_gives_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^no recipe named 'digits-lmg'; did you mean 'digits-lgm'\?$"):
        load_recipe("digits-lmg")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no recipe file at .*none\.toml$"):
        load_recipe(str(tmp_path / "none.toml"))


def test_a_folder_or_a_binary_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"^.*folder\.toml cannot be read: Is a directory$"):
        load_recipe(str(tmp_path / "folder.toml"))
    with pytest.raises(
        ValueError, match=r"^binary\.toml is no valid TOML: 'utf-8' codec can't decode byte 0xff"
    ):
        load_recipe(str(tmp_path / "binary.toml"))


@pytest.mark.parametrize(
    "name", [name for name in recipes() if load_recipe(name).loss["name"] in ("gccs", "mmlda", "mmc")]
)
def test_fixed_means_can_be_reached(name: str) -> None:
    """Half of a simplex's coordinates are negative.

    A net that ends in a pooled ReLU gives no such feature.
    """
    recipe = load_recipe(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classifier = build_classifier(recipe, classes=10).eval()
        images = torch.rand(4, *((3, 32, 32) if recipe.data == "cifar10-jpeg" else (1, 28, 28)))
    with torch.no_grad():
        assert classifier.features(images).min() < 0


def test_a_recipe_is_no_bound_to_ten_classes(file: Path) -> None:
    text = (
        GOOD.replace('"lgm"', '"gccs"').replace("alpha = 0.5\n", "").replace("features = 4", "features = 3")
    )
    file.write_text(text)
    assert build_classifier(load_recipe(str(file)), classes=3).head.log_likelihood(
        torch.zeros(1, 3)
    ).shape == (1, 3)
    with pytest.raises(
        ValueError, match="expected features to be the number of classes, 10, for GCCS, got 3"
    ):
        build_classifier(load_recipe(str(file)), classes=10)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_our_recipes_load_under_their_name(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem
    assert recipe.name.startswith(f"{recipe.data}-")
    assert recipe == load_recipe(str(path))
    with torch.random.fork_rng(devices=[]):
        build_classifier(recipe, classes=10)  # of all our data sets


def test_every_loss_has_a_recipe_for_every_data_set() -> None:
    names = set(recipes())
    losses = [loss.replace("_", "-") for loss in known_losses()]
    assert {
        f"{data}-{name}" for data in ("mnist", "cifar10-jpeg") for name in (*losses, "surrogate")
    } <= names
    assert {f"digits-{name}" for name in ("softmax", "center", "lgm", "surrogate")} <= names


def test_cifar10_is_trained_as_its_copies_are() -> None:
    """The recipes of true CIFAR-10 are those of equal training on the JPEG copies, but for name and data."""
    ours = [name for name in recipes() if name.startswith("cifar10-") and "jpeg" not in name]
    assert len(ours) == 11
    for name in ours:
        copied = name.replace("cifar10", "cifar10-jpeg") + ("" if name.endswith("surrogate") else "-30")
        told = read_toml(RECIPES / f"{copied}.toml", "recipe")
        assert {**told, "name": name, "data": "cifar10"} == read_toml(RECIPES / f"{name}.toml", "recipe")


def test_one_mean_for_all_channels_is_written_as_a_number(file: Path) -> None:
    recipe = load_recipe(str(file))  # a list would give every stored cell of the model another key
    assert recipe.model_dump(include={"mean", "std"}) == {"mean": 0, "std": 1}
    channels = recipe.model_copy(update={"mean": (0.1, 0.2, 0.3)})
    assert type(recipe).model_validate_json(channels.model_dump_json()).mean == (0.1, 0.2, 0.3)


def test_loading_leaves_the_global_random_state(file: Path) -> None:
    before = torch.get_rng_state()
    load_recipe(str(file))
    assert torch.get_rng_state().equal(before)


def test_builds_what_the_recipe_says(file: Path) -> None:
    recipe = load_recipe(str(file)).model_copy(update={"mean": (0.5,), "std": (0.25,)})
    classifier = build_classifier(recipe, classes=3)
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(classifier.normalise(x), (x - 0.5) / 0.25)
    outputs = classifier.outputs(x)
    assert outputs.features.shape == (2, 4)
    assert outputs.logits.shape == (2, 3)
    assert type(classifier.head) is HEADS["lgm"]
    assert classifier.head.alpha == 0.5


HARDENED = (
    GOOD
    + """
[adversary]
eps = 0.3
steps = 2
objective = "margin"

[about]
name = "own_at"
title = "Own-AT"
citation = "Nobody 2026"
"""
)


def test_any_loss_can_have_an_adversary_and_says_what_it_then_is(file: Path) -> None:
    file.write_text(HARDENED)
    recipe = load_recipe(str(file))
    assert recipe.adversary == Hardening(0.3, steps=2, step=1.25, warm_up=0.3, objective="margin")
    assert (recipe.group, recipe.about.title) == ("own_at", "Own-AT")
    assert type(build_classifier(recipe, classes=3).head) is HEADS["lgm"]
    assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe
    file.write_text(GOOD)
    assert load_recipe(str(file)).group == "lgm"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("eps = 0.3", "eps = 3", "expected eps to be in (0, 1], got 3"),
        ("eps = 0.3", "", "expected a key 'adversary.eps'"),
        ("steps = 2", "step_count = 2", "no key named 'adversary.step_count'"),
        (
            '"margin"',
            '"logit"',
            "expected 'adversary.objective' to be 'ce' or 'margin', got 'logit'",
        ),
        ('citation = "Nobody 2026"', "", "expected a recipe with [adversary] to have a table [about] with "),
        ("own_at", "../own", "expected the name of [about] to be "),
        ("own_at", "lgm", "expected [about] to have a name that no loss has, got 'lgm'"),
        ('title = "Own-AT"', 'titel = "Own-AT"', "no key named 'about.titel'"),
        (
            'name = "lgm"\nalpha = 0.5',
            'name = "trades"',
            "expected no [adversary] beside loss 'trades', which has its own",
        ),
    ],
)
def test_a_wrong_adversary_gets_one_line(file: Path, right: str, wrong: str, message: str) -> None:
    assert right in HARDENED
    file.write_text(HARDENED.replace(right, wrong))
    with pytest.raises(ValueError, match=r"^own\.toml: ") as caught:
        load_recipe(str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_our_hardened_recipes_of_one_name_say_the_same() -> None:
    hardened = [recipe for recipe in map(load_recipe, recipes()) if recipe.adversary]
    assert {recipe.group for recipe in hardened} == {"pgd_at", "lgm_at"}
    for recipe in hardened:
        assert replace(about_loss(recipe.group), family=recipe.about.family) == recipe.about
        assert recipe.adversary.objective == {"pgd_at": "ce", "lgm_at": "margin"}[recipe.group]
