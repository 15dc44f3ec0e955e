"""Images made up for a test, and every split of a data set."""

from pathlib import Path

import numpy as np

from gmbench.benchmark.data.datasets import SPLITS, ImageSet, load_data


def splits(name: str, root: Path | None = None) -> dict[str, ImageSet]:
    return {split: load_data(name, split, root) for split in SPLITS}


def random_images(n: int, shape: tuple[int, ...] = (6, 5, 3), seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))
