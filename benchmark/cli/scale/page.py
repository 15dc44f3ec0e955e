"""Measures what the simulation needs, and writes the tables of docs/scale.md: ``make scale``."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
import torch
import typer
from torchvision.models import resnet50

from ....models import Classifier, load_checkpoint
from ....models.files import store_root
from ...api.model import wrap
from ...api.progress import duration
from ...data.image_set import ImageSet
from ...engine.cell import Cell
from ...engine.entry import Entry, StoreError
from ...engine.estimate import Passes, inspection_seconds
from ...engine.inspection.cost import inspection_cost
from ...engine.inspection.inspect import MOST, middle_threats
from ...engine.plan import plan_suite
from ...engine.speed import PassSpeed, Speed
from ...engine.store import Store
from ...engine.work.piece import JUDGED
from ..console import console
from .simulate import Cluster, Piece, simulate

__all__ = ["main"]

MEASURED = "digits-v2"
WORKERS = (1, 8, 64, 512)
TURNS = 5
BANDWIDTH = 125e6
"""Bytes a second: a gigabit network."""


@dataclass(frozen=True)
class Workload:
    """A suite that is simulated: the attacks of digits-v2 on other images.

    Args:
        title: For people.
        classifier: Gives a net whose passes are measured.
        shape: Of an image.
        classes: K.
        images: Under attack, where an attack of digits-v2 meets all; others meet the same share.
        batch: Images in a pass and in a piece.
        models: How many.
        train: Images that detectors learn from.
    """

    title: str
    classifier: Callable[[], Classifier]
    shape: tuple[int, int, int]
    classes: int
    images: int
    batch: int
    models: int
    train: int


WORKLOADS = (
    Workload("MNIST", lambda: load_checkpoint("mnist-lgm-s0")[0], (1, 28, 28), 10, 1000, 250, 24, 55_000),
    Workload(
        "CIFAR-10", lambda: load_checkpoint("cifar10-jpeg-lgm-s0")[0], (3, 32, 32), 10, 1000, 50, 12, 45_000
    ),
    Workload("ImageNet", lambda: wrap(resnet50()).classifier, (3, 224, 224), 1000, 1000, 10, 5, 50_000),
)


@dataclass(frozen=True)
class Attacked:
    """What a cell of the measured run was.

    Args:
        cell: Which.
        seconds: That it took.
        spent: On an image.
    """

    cell: Cell
    seconds: float
    spent: Passes


class NetSpeed(NamedTuple):
    """Seconds of a pass that attacks nothing, an image; and the speed of an attack's passes."""

    forward: float
    passes: PassSpeed


def main(
    store: Annotated[Path | None, typer.Option("--store", help="Where digits-v2 has been run.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The page whose tables to write.")] = Path(
        "docs/scale.md"
    ),
) -> None:
    """Measure, simulate, and write the page's tables."""
    torch.set_num_threads(1)
    measured = measured_cells(Store(store_root(store)))
    start = start_up()
    rows: list[str] = []
    inputs = [f"| a process's start | {start:.1f} s |"]
    digits = [Piece(one.cell.model, one.seconds, 0.0) for one in measured]
    rows += _rows(f"{MEASURED}, as stored", digits, Cluster(start, 0.0, BANDWIDTH, 0.0))
    for workload in WORKLOADS:
        classifier = workload.classifier().eval()
        speed = net_speed(workload, classifier)
        weights = 4.0 * sum(one.numel() for one in classifier.parameters())
        cluster = Cluster(start, client_seconds(workload), BANDWIDTH, weights)
        many = list(pieces(workload, measured, speed))
        rows += _rows(workload.title, many, cluster)
        inputs += _inputs(workload, many, speed, cluster)
    page = out.read_text(encoding="utf-8")
    for name, lines in (("inputs", inputs), ("outcomes", rows)):
        page = with_rows(page, name, lines)
    out.write_text(page, encoding="utf-8")
    console.print(str(out))


def measured_cells(store: Store) -> list[Attacked]:
    """Read how long the cells of a finished run took, and what they spent.

    Raises:
        StoreError: One is missing.
    """
    plan, _ = plan_suite(MEASURED, store=store)
    found = []
    for cell in plan.cells():
        entry = store.read(cell.description)
        if entry is None:
            raise StoreError(
                f"expected all of {MEASURED} in the store, {cell} is missing: gmbench run {MEASURED}"
            )
        costs = entry.table[["forwards", "backwards"]]
        found.append(Attacked(cell, entry.facts["seconds"], Passes(*costs.mean(), *costs.max())))
    return found


def pieces(workload: Workload, measured: Sequence[Attacked], speed: NetSpeed) -> Iterator[Piece]:
    """Cut a workload into pieces: cells at batch boundaries with their scores, fits and inspections."""
    names = sorted({one.cell.model for one in measured})
    first = [one for one in measured if one.cell.model == names[0]]
    most = max(one.cell.samples for one in first)
    pixels = workload.shape[0] * workload.shape[1] * workload.shape[2]
    asked = inspection_cost(middle_threats([one.cell for one in first]), 2 * MOST)
    inspection = inspection_seconds(asked, speed.forward, speed.passes)
    for number in range(workload.models):
        model = f"model {number}"
        yield Piece(model, inspection, 0.0, "an inspection")
        yield Piece(model, workload.train * speed.forward, 0.0, "a model's fits")
        # whose passes are averaged over the models that were measured, one after the other
        for one in (other for other in measured if other.cell.model == names[number % len(names)]):
            images = workload.images * one.cell.samples // most
            attacked = one.cell.attack is not None and (one.cell.surrogate is None or number == 0)
            for begin in range(0, images, workload.batch):
                count = min(workload.batch, images - begin)
                sent = 2.0 * pixels * count if one.cell.attack else 0.0  # half of what floats take
                seconds = one.spent.seconds(speed.passes, count, workload.batch) if attacked else 0.0
                seconds += count * (JUDGED + 1) * speed.forward  # one of them for the scores
                yield Piece(model, seconds, sent, f"{count} images by {one.cell.label}")


def net_speed(workload: Workload, classifier: Classifier) -> NetSpeed:
    """Measure a net's passes on noise."""
    x = torch.randint(0, 256, (workload.batch, *workload.shape), dtype=torch.uint8)
    y = torch.arange(workload.batch) % workload.classes
    noise = ImageSet.of("noise", "test", x, y, torch.arange(workload.batch), workload.classes)
    speed = Speed(classifier, {}, {"test": noise}, workload.batch, "cpu", time.process_time)
    return NetSpeed(speed.forward, speed.passes())


def start_up() -> float:
    """Measure how long a process takes until it could begin, by its own processor time."""
    code = "import time, gmbench.benchmark.engine.run; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def client_seconds(workload: Workload) -> float:
    """Measure how long a result of one batch takes to be stored and to be read again, checksums and all."""
    images = torch.rand(workload.batch, *workload.shape)
    table = pd.DataFrame({"id": range(workload.batch), "margin": torch.rand(workload.batch).numpy()})
    with tempfile.TemporaryDirectory() as folder:
        store, seconds = Store(Path(folder)), []
        for number in range(TURNS):
            begin = time.perf_counter()
            store.write(Entry({"number": number}, table, images))
            store.sound({"number": number})
            seconds.append(time.perf_counter() - begin)
    return min(seconds)


def with_rows(page: str, name: str, rows: Sequence[str]) -> str:
    """Replace the rows of a table between ``<!-- NAME -->``, behind its head, and ``<!-- end -->``.

    Raises:
        ValueError: The page has no such table.
    """
    before, begin, rest = page.partition(f"<!-- {name} -->\n")
    old, end, after = rest.partition("\n<!-- end -->")
    if not begin or not end:
        raise ValueError(f"expected the page to have a table '{name}', got none")
    head = "\n".join(old.strip("\n").splitlines()[:2])
    return before + begin + "\n" + "\n".join([head, *rows]) + "\n" + end + after


def _inputs(workload: Workload, many: Sequence[Piece], speed: NetSpeed, cluster: Cluster) -> list[str]:
    work, longest = sum(one.seconds for one in many), max(many, key=lambda one: one.seconds)
    line = sum(one.sent for one in many) / cluster.bandwidth
    most = (work / longest.seconds, work / (len(many) * cluster.client), work / line)
    told = {
        "models, images under attack, images in a pass": (
            f"{workload.models}, {workload.images}, {workload.batch}"
        ),
        "pieces; the longest": f"{len(many)}; {longest.what}, {duration(longest.seconds)}",
        "a forward pass, and an attack's step": (
            f"{1000 * speed.forward:.3g} and {1000 * speed.passes.gradient.image:.3g} ms an image, "
            f"{1000 * speed.passes.gradient.call:.3g} ms more for a step"
        ),
        "weights": f"{cluster.weights / 1e6:.3g} MB",
        "the client, for a result": f"{1000 * cluster.client:.3g} ms",
        "workers that the longest piece, the client and the network leave busy, at most": (
            ", ".join(f"{one:.0f}" for one in most)
        ),
    }
    return [f"| {workload.title}: {what} | {value} |" for what, value in told.items()]


def _rows(title: str, many: Sequence[Piece], cluster: Cluster) -> list[str]:
    outcomes = {workers: simulate(many, cluster, workers) for workers in WORKERS}
    alone = outcomes[WORKERS[0]].seconds
    return [
        f"| {title} | {workers} | {duration(found.seconds)} | {alone / found.seconds:.3g} | {found.busy:.0%} "
        f"| {found.limit} |"
        for workers, found in outcomes.items()
    ]


if __name__ == "__main__":
    typer.run(main)
