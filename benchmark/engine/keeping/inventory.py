"""What lies in a store, told by the heads of its entries alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..entry import StoreError
from ..store import Store

__all__ = ["Item", "inventory"]

KINDS = {
    "attack": "cell",
    "part": "part",
    "scores": "scores",
    "fit": "fit",
    "inspection": "inspection",
    "probe": "probe",
}
"""What an entry is, by a name that only its description has."""


@dataclass(frozen=True)
class Item:
    """An entry as its head tells it.

    Args:
        key: Its key.
        size: Bytes of its files.
        kind: "cell", "scores", "fit", "inspection", "probe", "part" of an unfinished cell, "other" for what
            earlier versions wrote, or "damaged" where the head is.
        model: Whose it is; "" where no cell tells.
        label: Of a cell's attack.
        description: What was asked for.
    """

    key: str
    size: int
    kind: str
    model: str = ""
    label: str = ""
    description: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def about(self) -> str | None:
        """The key of the entry that this one is about, if it is about one."""
        told = self.description.get("of", self.description.get("cell"))
        return None if told is None else str(told)

    @property
    def fingerprint(self) -> str | None:
        """Of the model, where the entry tells it."""
        names = {"cell": "fingerprint", "fit": "fingerprint", "inspection": "inspection", "probe": "probe"}
        return None if self.kind not in names else str(self.description.get(names[self.kind]))


def inventory(store: Store) -> list[Item]:
    """List what a store holds; whether files but the heads are sound, `Store.read_key` tells."""
    items = list(_items(store))
    by_key = {item.key: item.model for item in items if item.kind == "cell"}
    by_fingerprint = {item.fingerprint: item.model for item in items if item.kind == "cell"}
    return [
        replace(item, model=by_key.get(item.about or "") or by_fingerprint.get(item.fingerprint, ""))
        if item.kind != "cell"
        else item
        for item in items
    ]


def _items(store: Store) -> Iterator[Item]:
    for key in store.keys():  # noqa: SIM118 - a store is no mapping
        try:
            size = sum(path.stat().st_size for path in store.path(key).iterdir())
        except FileNotFoundError:  # another run has removed it meanwhile
            continue
        try:
            head = store.read_head(key)
        except StoreError:
            yield Item(key, size, "damaged")
            continue
        told = head["description"]
        kind = next((kind for name, kind in KINDS.items() if name in told), "other")
        model, label = (str(head["facts"].get(name, "")) for name in ("model", "label"))
        yield Item(key, size, kind, model, label, told)
