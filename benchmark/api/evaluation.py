"""A whole suite from a notebook, and comparisons on what it found: what ``gmbench run`` does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from ...models.files import store_root
from ..analysis.frames import Frames
from ..analysis.paired import paired_differences
from ..engine.keeping.archive import write_archive
from ..engine.keeping.inventory import inventory
from ..engine.keeping.needs import needed
from ..engine.plan import Plan, plan_suite
from ..engine.run import Summary
from ..engine.store import Store
from ..engine.work.crews import crew_for
from ..report.publish import plan_frames, run_suite
from ..report.published_rows import OURS, take_published
from .model import as_model
from .progress import Bar
from .shown import frame_of

__all__ = ["Board", "compare", "evaluate"]

SHOWN = ("model", "detector", "robust_accuracy", "robust_accuracy_with_detection", "eer_all", "verdict")


@dataclass(frozen=True, eq=False)
class Board:
    """What a suite found; its tables are computed when they are first asked for.

    Args:
        plan: What was run.
        store: Where its cells are.
        summary: What was computed, what came from the store, what failed.
        folder: Of the written report, or None.
    """

    plan: Plan = field(repr=False)
    store: Store = field(repr=False)
    summary: Summary
    folder: Path | None = None

    @cached_property
    def frames(self) -> Frames:
        """All tables, see `Frames`."""
        return plan_frames(self.plan, self.store, self.summary.failures)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row per model, threat model and detector, best first."""
        return self.frames.leaderboard

    @property
    def eer(self) -> pd.DataFrame:
        """A row per model, attack, threat model, detector and population."""
        return self.frames.eer

    @property
    def samples(self) -> pd.DataFrame:
        """A row per model, attack and image."""
        return self.frames.samples

    @property
    def checks(self) -> pd.DataFrame:
        """A row per model and check."""
        return self.frames.checks

    def export(self, file: Path | str) -> None:
        """Write all that was computed to one file, which ``gmbench store import`` takes elsewhere.

        Rows that were published are not in it, nor are models and data.
        """
        write_archive(Path(file), self.store, sorted(needed(self.plan, inventory(self.store))))

    def _repr_html_(self) -> str:
        told = self.leaderboard[["norm", "eps", "access", "awareness", *SHOWN]]
        failed = "".join(f"<p>failed: {frame_of(pd.DataFrame([one]))}</p>" for one in self.summary.failures)
        return failed + frame_of(told)


def evaluate(
    model: object,
    suite: str = "digits-v2",
    *,
    models: Sequence[str] = (),
    attacks: Sequence[str] = (),
    detectors: Sequence[str] = (),
    samples: int | None = None,
    recompute: bool = False,
    results: Path | str | None = None,
    store: Path | None = None,
    root: Path | None = None,
    device: str = "auto",
    workers: int = 1,
    scheduler: str | None = None,
    cell_limit: float | None = None,
    progress: bool = True,
) -> Board:
    """Run a suite on a model, beside the suite's own; what the store holds is not computed again.

    Args:
        model: See `attack`, or a list of such.
        suite: A suite's name, or a TOML file.
        models: Only these of the suite's models, by name or pattern.
        attacks: Only these attacks, by label or pattern.
        detectors: Only these detectors.
        samples: Only the first so many test images.
        recompute: Compute the suite's own models, too, instead of taking their published rows.
        results: Folder to write the report into, a subfolder per suite, as ``gmbench run`` does; None writes
            none.
        store: Folder of finished cells.
        root: Folder of the data sets.
        device: "auto", "cpu" or "cuda".
        workers: Processes that compute, one torch thread each; 1 computes in this one. A script that asks for
            more does so under ``if __name__ == "__main__":``, as each of them imports it.
        scheduler: Address of a Dask scheduler whose workers compute instead, ``tcp://HOST:PORT``.
        cell_limit: Seconds after which a cell is given up; None for as long as it needs.
        progress: Whether to draw a bar.

    Raises:
        CrewError: There is no such scheduler, or its workers cannot do what is asked.
        DefenseError: The model cannot be judged.
        ValueError: The suite does not exist or cannot be narrowed so, or every cell failed.
    """
    given = [as_model(one).entrant for one in (model if isinstance(model, list | tuple) else [model])]
    place = Store(store_root(store))
    plan, name = plan_suite(
        suite,
        models=models,
        attacks=attacks,
        detectors=detectors,
        samples=samples,
        defenses=given,
        device=device,
        root=root,
        store=place,
    )
    if not recompute:
        plan = take_published(plan, (OURS,) if results is None else (Path(results), OURS))
    folder = None if results is None else Path(results) / name
    asked = None if scheduler is not None and workers == 1 else workers
    with crew_for(plan, place, asked, scheduler) as crew, Bar(show=progress) as bar:
        summary, _ = run_suite(plan, place, crew, folder, bar, limit=cell_limit)
    board = Board(plan, place, summary, folder)
    if not board.summary.made + board.summary.found:
        first = board.summary.failures[0]
        raise ValueError(f"expected a cell of {suite} to finish, got {first}")
    return board


def compare(board: Board, a: str, b: str) -> pd.DataFrame:
    """Compare robust accuracies, paired on the same images and attacks; see `paired_differences`.

    Args:
        board: What `evaluate` gave.
        a: A model's or a loss's name.
        b: Another's; the difference is a - b.
    """
    return paired_differences(board.samples, a, b)
