"""What tests of several packages share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The root under which MNIST lies; where a user has said none, the tests that need it are skipped."""
    root = os.environ.get("GMBENCH_DATA")
    if not root:
        pytest.skip("needs MNIST: set GMBENCH_DATA to the folder that `gmbench data mnist` fetched it into")
    return Path(root)
