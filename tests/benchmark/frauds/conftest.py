"""Here every model is asked."""

from collections.abc import Iterator

import pytest

from gmbench.benchmark.engine.inspection.inspect import inspect
from gmbench.benchmark.engine.work import perform


@pytest.fixture(scope="module", autouse=True)
def asked() -> Iterator[None]:
    """Ask for real what the other tests are spared."""
    spared, perform.inspect = perform.inspect, inspect
    yield
    perform.inspect = spared
