"""What of a suite is run and where, as the options that several commands share; listed once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any

import typer

from ...models.files import store_root
from ..engine.guest.process import LIMIT
from ..engine.plan import Plan, plan_suite
from ..engine.store import Store
from ..engine.suite import DEFAULT
from .options import (
    Attacks,
    DataRoot,
    Defenses,
    Detectors,
    Device,
    GuestLimit,
    Models,
    Plugins,
    Samples,
    StoreRoot,
    load_plugins,
)

__all__ = ["Choice", "takes_choice"]

SuiteName = Annotated[str, typer.Argument(help="A suite's name (see: gmbench list) or a TOML file.")]


@dataclass(frozen=True)
class Choice:
    """A suite, perhaps narrowed, with defenses beside its models; each field is an option, see `options`."""

    suite: SuiteName = DEFAULT
    models: Models = None
    attacks: Attacks = None
    detectors: Detectors = None
    samples: Samples = None
    defense: Defenses = None
    guest_limit: GuestLimit = LIMIT
    plugin: Plugins = None
    device: Device = "auto"
    data_root: DataRoot = None
    store: StoreRoot = None

    @property
    def narrows(self) -> bool:
        """Whether anything is chosen beside the suite."""
        return bool(self.models or self.attacks or self.detectors or self.samples or self.defense)

    @cached_property
    def place(self) -> Store:
        """The store."""
        return Store(store_root(self.store))

    def plan(self) -> tuple[Plan, str]:
        """Plan it, see `plan_suite`."""
        return plan_suite(
            self.suite,
            models=self.models or (),
            attacks=self.attacks or (),
            detectors=self.detectors or (),
            samples=self.samples,
            defenses=self.defense or (),
            guest_limit=self.guest_limit,
            device=self.device,
            root=self.data_root,
            store=self.place,
        )


def takes_choice(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first parameter is a `Choice`, that one's fields as options beside its own.

    Plug-ins are loaded before it is called.
    """
    of_choice = {
        item.name: inspect.Parameter(
            item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type
        )
        for item in fields(Choice)
    }
    _, *own = inspect.signature(command).parameters.values()

    def called(**options: Any) -> None:
        choice = Choice(**{name: options.pop(name) for name in of_choice})
        load_plugins(choice.plugin)
        command(choice, **options)

    parameters = [*of_choice.values(), *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)]
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called
