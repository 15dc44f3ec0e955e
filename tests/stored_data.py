"""Data sets as a user has them; a test that needs one which is not there is skipped and says so."""

import os
from functools import cache
from pathlib import Path

import pytest

from gmbench.benchmark.data.datasets import ImageSet, load_data


@cache
def data(name: str, split: str) -> ImageSet:
    """Load a split; where a user has not these data, the test is skipped."""
    root = os.environ.get("GMBENCH_DATA", "")
    # nobody can download that one
    if (name != "digits" and not root) or (name == "cifar10-jpeg" and not Path(root, name).is_dir()):
        pytest.skip(f"needs {name}: set GMBENCH_DATA to the folder that has it")
    return load_data(name, split)
