"""What it costs to keep a defense in a process of its own: the same model as a checkpoint and as a guest."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ...attacks import ATTACKS, SampleRandom, ThreatModel
from ...models import Classifier, read_card
from ..data.datasets import load_data
from ..engine.cell import propose
from ..engine.defense import entrant_from_checkpoint, entrant_from_file
from ..engine.entrant import fresh

__all__ = ["ABOUT_GUESTS", "GUESTS", "guest_and_checkpoint"]

GUESTS: Mapping[str, float] = {"digits-lgm-s0": 1.5, "mnist-lgm-s0": 1.1, "cifar10-jpeg-lgm-s0": 1.1}
"""Checkpoint -> largest time of a guest in units of the checkpoint's own."""

IMAGES, STEPS, EPS = 200, 40, 0.1
ABOUT_GUESTS = f"PGD Linf {EPS}, {STEPS} steps, {IMAGES} images; the guest's start included, one thread"

FILE = """
import gmbench
from gmbench.models import load_checkpoint

def build():
    return gmbench.Defense("mine", load_checkpoint("{name}")[0])
"""


@contextmanager
def guest_and_checkpoint(name: str, root: Path | None) -> Iterator[dict[str, Callable[[], Tensor]]]:
    """Give what attacks a checkpoint in this process, and the same model in a process of its own.

    A guest's start is a part of its time: every cell has a fresh one. Torch has one thread, as in a run: two
    of the host's and two of the guest's would wait for each other on two cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    own = entrant_from_checkpoint(name)
    test = load_data(read_card(name).data, "test", root).head(IMAGES)

    def attacked(classifier: Classifier) -> Tensor:
        random = SampleRandom.of("perf", torch.arange(len(test)))
        attack = ATTACKS.build("pgd", steps=STEPS)
        return propose(attack, classifier, test.images(), test.y, ThreatModel("Linf", EPS), random)[0]

    def by_guest() -> Tensor:
        with fresh(guest) as one:
            return attacked(one.classifier)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mine.py"
        file.write_text(FILE.format(name=name), encoding="utf-8")
        guest = entrant_from_file(file)
        try:
            yield {"checkpoint": lambda: attacked(own.classifier), "guest": by_guest}
        finally:
            torch.set_num_threads(threads)
