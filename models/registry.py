"""Names for the things a suite or a recipe can ask for: one decorator, one file.

``REGISTRY = Registry("attack")`` in a package, ``@REGISTRY.register("fgsm")`` on a class in any module of
that package, and `import_modules` in the package's ``__init__`` so that putting a file in place is all it
takes to have it listed.
"""

import difflib
import importlib
import pkgutil
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from inspect import Parameter, isclass, signature
from types import ModuleType
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

__all__ = [
    "PluginWarning",
    "Registry",
    "UnknownName",
    "check_known",
    "check_options",
    "import_modules",
    "shown",
]

MANY = 20
"""Names, more than which an error does not list."""

ALIKE = 0.65
"""How alike a name must be to be offered for another.

"pgd" for "pdg" is .67; "torchattacks-cw" for "autoattack", which helps nobody, is .64.
"""

LONG = 60
"""Characters of a wrong value, more than which an error does not show."""

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class UnknownName(KeyError):
    """A name that no registry holds; prints as its message, where a KeyError would print in quotes."""

    def __str__(self) -> str:
        return str(self.args[0])


class PluginWarning(UserWarning):
    """An installed plug-in that does not load, in one line."""


class Registry(Mapping[str, Callable[..., T]], Generic[T]):
    """Maps names to factories and builds from a name and plain options.

    Args:
        kind: What the names stand for, in the singular ("attack"); used in error messages.
        given: Options that the caller always gives, so that no error offers them to a user.
        group: Of the entry points by which installed packages add to it; "" for none. They are loaded when it
            is first looked into; one that fails is a `PluginWarning` and stops no other.
    """

    def __init__(self, kind: str, given: Iterable[str] = (), group: str = "") -> None:
        self.kind = kind
        self._group = group
        self.given = frozenset(given)
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Decorate a class or function to make it known under ``name``.

        The same definition run again, as in a notebook, takes the place of the first.

        Raises:
            ValueError: The name is taken.
        """

        def add(factory: F) -> F:
            taken = self._factories.get(name)
            if taken is not None and _definition(taken) != _definition(factory):
                raise ValueError(f"expected a new {self.kind} name, got '{name}', which is taken")
            self._factories[name] = factory
            return factory

        return add

    def build(self, name: str, **options: Any) -> T:
        """Build the ``name`` with ``options``.

        Raises:
            UnknownName: No such name; the message gives the nearest one.
            ValueError: No such option, one is missing, or its value has the wrong type.
        """
        factory = self[name]
        check_options(f"{self.kind} '{name}'", factory, options, self.given)
        return factory(**options)

    def __getitem__(self, name: str) -> Callable[..., T]:
        self._look_outside()
        check_known(self.kind, name, self._factories, UnknownName)
        return self._factories[name]

    def __iter__(self) -> Iterator[str]:
        self._look_outside()
        return iter(sorted(self._factories))

    def __len__(self) -> int:
        self._look_outside()
        return len(self._factories)

    def _look_outside(self) -> None:
        """Load what installed packages add, once."""
        group, self._group = self._group, ""
        if not group:
            return
        for point in entry_points(group=group):
            try:
                loaded = point.load()
                # a class or function that no decorator named goes by the entry point's name
                if not isinstance(loaded, ModuleType) and loaded not in self._factories.values():
                    self.register(point.name)(loaded)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - another's code may raise anything
                why = next(iter(str(error).splitlines()), "")
                package = point.dist.name if point.dist else "?"
                warnings.warn(
                    f"plug-in {point.value} of package {package} left out: {type(error).__name__}: {why}",
                    PluginWarning,
                    stacklevel=3,
                )


def check_options(
    what: str, factory: Callable[..., Any], options: Mapping[str, Any], given: Collection[str] = ()
) -> None:
    """Raise unless ``factory(**options)`` is what its signature asks for.

    Args:
        what: The factory for a message, "attack 'pgd'".
        factory: A class or function with annotated parameters.
        options: As they are written; an integer does for a float, a string does for neither.
        given: Parameters that no user gives, so that no error offers them.

    Raises:
        ValueError: No such option, one is missing, or its value has the wrong type.
    """
    parameters, kinds = _asked(factory)
    for option in options:
        if option not in parameters:
            check_known(f"option of {what}", option, set(parameters) - set(given))
    required = {key for key, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    if missing := sorted(required - set(options)):
        raise ValueError(f"expected {what} to be given {', '.join(missing)}")
    for option, value in options.items():
        kind = kinds.get(option, Any)
        try:
            _checked_by(kind).validate_python(value, strict=True)
        except ValidationError:
            wanted = getattr(kind, "__name__", kind)
            raise ValueError(
                f"expected option '{option}' of {what} to be {wanted}, got {shown(value)}"
            ) from None


@cache
def _asked(factory: Callable[..., Any]) -> tuple[Mapping[str, Parameter], Mapping[str, Any]]:
    """Look up a factory's parameters and their types, once: a large suite builds it thousands of times."""
    kinds = get_type_hints(factory.__init__ if isclass(factory) else factory)
    return signature(factory).parameters, kinds


_checked_by = cache(TypeAdapter)
"""What checks values of a type; takes longer to make than to use."""


def check_known(kind: str, name: str, known: Iterable[str], error: type[Exception] = ValueError) -> None:
    """Raise ``error`` with the nearest right name unless ``name`` is among ``known``."""
    names = sorted(known)
    if name in names:
        return
    lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=ALIKE)
    others = (
        f"known: {', '.join(names) or 'none'}"
        if len(names) <= MANY
        else f"there are {len(names)}, gmbench list shows them"
    )
    hint = f"did you mean '{lower[near[0]]}'?" if near else others
    raise error(f"no {kind} named '{name}'; {hint}")


def shown(value: object) -> str:
    """Show a wrong value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."


def _definition(factory: Callable[..., Any]) -> tuple[str, str]:
    return factory.__module__, factory.__qualname__


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of ``package`` so that its decorators run."""
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        importlib.import_module(f"{package}.{module}")
