"""What tests of several packages share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmbench.attacks import ATTACKS
from gmbench.detectors import DETECTORS
from gmbench.models import HEADS, NETS


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The root under which MNIST lies; where a user has said none, the tests that need it are skipped."""
    root = os.environ.get("GMBENCH_DATA")
    if not root:
        pytest.skip("needs MNIST: set GMBENCH_DATA to the folder that `gmbench data mnist` fetched it into")
    return Path(root)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Forget after the test what it registers."""
    kept = [(registry, dict(registry._factories)) for registry in (ATTACKS, DETECTORS, HEADS, NETS)]
    yield
    for registry, factories in kept:
        registry._factories.clear()
        registry._factories.update(factories)
