"""The contests of `make perf`: an attack of ours, its settings, the peers that have it, and what is aimed at.

A contest is one entry of `CONTESTS`; one whose attack is not registered is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from ...attacks import ATTACKS
from . import peers
from .peers import Peer

__all__ = ["CONTESTS", "Contest"]

EPS = 0.3  # Madry et al. on MNIST


@dataclass(frozen=True)
class Contest:
    """One attack beside its peers.

    Args:
        attack: Name in the registry.
        norm: Of the perturbation.
        eps: Its size; infinity for the smallest, whose mean size is compared then.
        settings: The attack's fields, which the peers take over.
        peers: Library -> the same attack.
        aim: Largest time in units of the fastest peer's.
        bare: Largest time in units of as many bare passes; None compares with none.
        knows: The detector that the attack knows, by name; "" for none.
        bf16: Largest time with gradients in bfloat16, in units of the fastest peer's; None tries it not.
        images: The first so many.
        repeats: Turns of each contender.
    """

    attack: str
    norm: str
    eps: float
    settings: Mapping[str, Any]
    peers: Mapping[str, Peer] = field(repr=False)
    aim: float = 1.0
    bare: float | None = None
    knows: str = ""
    bf16: float | None = None
    images: int = 200
    repeats: int = 3

    @property
    def there(self) -> bool:
        """Whether the attack is registered."""
        return self.attack in ATTACKS


APGD_PEERS: Mapping[str, Peer] = {
    "torchattacks": peers.torchattacks_apgd,
    "adv-lib": peers.adv_lib_apgd,
    "pyautoattack": peers.official("apgd-ce"),
}

CONTESTS = (
    Contest(
        "pgd",
        "Linf",
        EPS,
        {"steps": 40},
        {"torchattacks": peers.torchattacks_pgd, "foolbox": peers.foolbox_pgd},
        aim=1.0,
        bare=1.05,
        bf16=0.4,
        repeats=5,
    ),
    Contest(
        "apgd",
        "Linf",
        EPS,
        {"steps": 40, "loss": "ce"},
        APGD_PEERS,
    ),
    # for robust accuracy alone: an image that is fooled is done, which no peer does within a run
    Contest("apgd", "Linf", EPS, {"steps": 40, "loss": "ce", "stop": True}, APGD_PEERS, aim=0.7),
    Contest(
        "cw", "L2", inf, {}, {"foolbox": peers.foolbox_cw, "adv-lib": peers.adv_lib_cw}, aim=0.7, repeats=1
    ),
    Contest(
        "ddn",
        "L2",
        inf,
        {"steps": 100},
        {"foolbox": peers.foolbox_ddn, "adv-lib": peers.adv_lib_ddn},
        aim=1.05,
    ),
    Contest(
        "fmn",
        "Linf",
        inf,
        {"steps": 100},
        {"foolbox": peers.foolbox_fmn, "adv-lib": peers.adv_lib_fmn},
        aim=1.05,
    ),
    Contest(
        "fab",
        "Linf",
        EPS,
        {"steps": 20},
        {"adv-lib": peers.adv_lib_fab},
        aim=1.05,
        images=50,
    ),
    # pyautoattack's leaves images alone once they are fooled
    Contest(
        "fab",
        "Linf",
        EPS,
        {"steps": 20, "stop": True},
        {"pyautoattack": peers.official("fab-t")},
        aim=1.05,
        images=50,
    ),
    Contest(
        "square",
        "Linf",
        EPS,
        {"queries": 500},
        {"torchattacks": peers.torchattacks_square, "pyautoattack": peers.official("square")},
        aim=0.7,
    ),
    Contest(
        "hopskipjump",
        "L2",
        inf,
        {"queries": 2000},
        {"foolbox": peers.foolbox_hopskipjump},
        aim=0.7,
        images=20,
        repeats=1,
    ),
    Contest(
        "autoattack",
        "Linf",
        EPS,
        {},
        {"pyautoattack": peers.official()},
        aim=0.7,
        images=50,
        repeats=1,
    ),
    Contest(
        "evasion",
        "Linf",
        EPS,
        {"steps": 40, "targets": 2, "restarts": 1, "near": 0.0},  # drops no target: all passes are made
        {},
        bare=1.15,
        knows="kde",
        images=100,
    ),
)
