"""Names, options and what is said about wrong ones."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmbench.models.registry import Registry, UnknownName, check_known, check_options, import_modules


@pytest.fixture
def shapes() -> Registry[tuple[object, ...]]:
    registry: Registry[tuple[object, ...]] = Registry("shape")

    @registry.register("square")
    def square(side: float, colour: str = "red") -> tuple[object, ...]:
        return "square", side, colour

    @registry.register("circle")
    class Circle(tuple[object, ...]):
        __slots__ = ()

    return registry


def test_builds_from_a_name_and_options(shapes: Registry[tuple[object, ...]]) -> None:
    assert shapes.build("square", side=2) == ("square", 2, "red")
    assert shapes.build("square", side=2, colour="blue") == ("square", 2, "blue")


def test_is_a_sorted_mapping(shapes: Registry[tuple[object, ...]]) -> None:
    assert list(shapes) == ["circle", "square"]
    assert len(shapes) == 2
    assert "square" in shapes
    assert "cube" not in shapes
    assert shapes["square"](1) == ("square", 1, "red")


def test_register_gives_back_what_it_decorates(shapes: Registry[tuple[object, ...]]) -> None:
    def line() -> tuple[object, ...]:
        return ("line",)

    assert shapes.register("line")(line) is line


def test_unknown_name_gives_the_nearest(shapes: Registry[tuple[object, ...]]) -> None:
    with pytest.raises(UnknownName) as caught:
        shapes.build("sqaure", side=2)
    # a bare KeyError would print in quotes
    assert str(caught.value) == "no shape named 'sqaure'; did you mean 'square'?"
    assert isinstance(caught.value, KeyError)


def test_name_with_nothing_near_gives_all(shapes: Registry[tuple[object, ...]]) -> None:
    with pytest.raises(UnknownName, match=r"^no shape named 'xyz'; known: circle, square$"):
        shapes["xyz"]


def test_an_error_lists_no_more_names_than_one_reads() -> None:
    with pytest.raises(ValueError, match=r"^no shape named 'xyz'; there are 21, gmbench list shows them$"):
        check_known("shape", "xyz", [f"side{number}" for number in range(21)])


def test_taken_name_is_refused(shapes: Registry[tuple[object, ...]]) -> None:
    before = shapes["square"]
    with pytest.raises(ValueError, match=r"^expected a new shape name, got 'square', which is taken$"):
        shapes.register("square")(tuple)
    assert shapes["square"] is before


def test_unknown_option_gives_the_nearest(shapes: Registry[tuple[object, ...]]) -> None:
    with pytest.raises(
        ValueError, match=r"^no option of shape 'square' named 'color'; did you mean 'colour'\?$"
    ):
        shapes.build("square", side=2, color="blue")


def test_what_the_caller_gives_is_offered_to_nobody() -> None:
    registry: Registry[tuple[float, ...]] = Registry("shape", given=("side", "sides"))
    registry.register("square")(lambda side: (side,))
    assert registry.build("square", side=2) == (2,)
    with pytest.raises(ValueError, match=r"^no option of shape 'square' named 'sida'; known: none$"):
        registry.build("square", side=2, sida=3)
    with pytest.raises(ValueError, match=r"^no option of shape 'square' named 'sides'; known: none$"):
        registry.build("square", side=2, sides=4)  # given, but not to this one


def test_missing_option_is_named(shapes: Registry[tuple[object, ...]]) -> None:
    with pytest.raises(ValueError, match=r"^expected shape 'square' to be given side$"):
        shapes.build("square", colour="blue")


def test_check_known_raises_the_error_it_is_given() -> None:
    check_known("split", "test", ["train", "test"])
    with pytest.raises(LookupError, match=r"^no split named 'tset'; did you mean 'test'\?$"):
        check_known("split", "tset", iter(["train", "test"]), LookupError)


def build(side: float, colour: str = "red", *, corners: int | None = None) -> None:
    """Something with options."""


def test_options_are_checked_against_a_signature() -> None:
    check_options("shape 'x'", build, {"side": 2, "corners": None})
    for options, message in (
        ({"side": "2"}, "expected option 'side' of shape 'x' to be float, got '2'"),
        ({"side": 2, "corners": 1.5}, r"expected option 'corners' of shape 'x' to be int \| None, got 1.5"),
        ({"side": True}, "expected option 'side' of shape 'x' to be float, got True"),
        ({"side": 1, "color": "red"}, "no option of shape 'x' named 'color'; did you mean 'colour'?"),
        ({}, "expected shape 'x' to be given side"),
    ):
        with pytest.raises(ValueError, match=f"^{message}".replace("?", r"\?")):
            check_options("shape 'x'", build, options)


def test_near_names_are_offered_and_far_ones_listed() -> None:
    attacks = ["cw", "fgsm", "pgd", "torchattacks-cw"]
    for name, hint in (
        ("pdg", "did you mean 'pgd'?"),
        ("FGSM", "did you mean 'fgsm'?"),
        ("autoattack", "known: cw, fgsm, pgd, torchattacks-cw"),
    ):
        with pytest.raises(ValueError, match=r"^no attack named") as caught:
            check_known("attack", name, attacks)
        assert str(caught.value) == f"no attack named '{name}'; {hint}"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with two modules that leave a trace when they are imported."""
    name = "package_of_test_registry"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("seen = []\n")
    for module in ("one", "two"):
        (folder / f"{module}.py").write_text(f"from . import seen\nseen.append({module!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def test_every_module_of_a_package_is_imported(package: str) -> None:
    module = __import__(package)
    import_modules(package, module.__path__)
    assert module.seen == ["one", "two"]
