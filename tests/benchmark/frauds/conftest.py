"""Here every model is asked."""

from collections.abc import Iterator

import pytest

from gmbench.benchmark.engine import run
from gmbench.benchmark.engine.inspection.inspect import inspect


@pytest.fixture(scope="module", autouse=True)
def asked() -> Iterator[None]:
    """Ask for real what the other tests are spared."""
    spared, run.inspect = run.inspect, inspect
    yield
    run.inspect = spared
