"""Stores filled by hand, for tests of what reads them."""

from collections.abc import Mapping, Sequence

from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.cell import Cell
from gmbench.benchmark.engine.scoring import Fitting, lacking_scores, score_cells
from gmbench.benchmark.engine.store import Store


def fill_scores(
    fitting: Fitting, cells: Sequence[Cell], store: Store, splits: Mapping[str, ImageSet]
) -> dict[str, str]:
    """Store the scores that finished cells lack, each scored by itself; give the detectors that failed."""
    for cell in cells:
        names = lacking_scores(cell, fitting.detectors, fitting.train, store)
        if not names:
            continue
        proposed = store.read(cell.description)
        assert proposed is not None
        images = proposed.images
        if images is None:
            images = splits[cell.split].images(slice(0, cell.samples))
        for entry in score_cells(fitting, [(cell, names)], [images], splits):
            store.write(entry)
    return fitting.failed
