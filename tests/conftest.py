"""What tests of several packages share."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gmbench.attacks import ATTACKS
from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.entry import Entry
from gmbench.benchmark.engine.inspection.finding import Finding, State, table_of
from gmbench.benchmark.engine.inspection.inspect import (
    DETECTOR_CHECKS,
    MODEL_CHECKS,
    Asked,
    inspection_description,
)
from gmbench.benchmark.engine.scoring import Fitting
from gmbench.benchmark.engine.work import crews, perform
from gmbench.benchmark.report import writer
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


@pytest.fixture(scope="module")
def no_figures() -> Iterator[None]:
    """Leave figures out of a module's reports: they take seconds, and tests/benchmark/report draws them."""
    with pytest.MonkeyPatch.context() as patch:
        for figures in ("_figures", "_feature_figures"):
            patch.setattr(writer, figures, lambda *_: iter(()))
        yield


def _all_passed(job: Asked, splits: Mapping[str, ImageSet], _fitting: Fitting) -> Entry:
    found = [(name, Finding(State.PASSED, "not asked here")) for name in MODEL_CHECKS]
    found += [
        (name, Finding(State.PASSED, "not asked here", detector))
        for name in DETECTOR_CHECKS
        for detector in job.detectors
    ]
    return Entry(inspection_description(job, splits) or {}, table_of(found))


@pytest.fixture(scope="session", autouse=True)
def in_this_process() -> Iterator[None]:
    """Have runs compute in this process where nobody says otherwise, however slow the machine seems."""
    worth, crews.WORTH = crews.WORTH, float("inf")
    yield
    crews.WORTH = worth


@pytest.fixture(scope="session", autouse=True)
def unasked() -> Iterator[None]:
    """Spare runs of the tests the inspections, seconds a model; tests/benchmark/frauds asks for real."""
    asked, perform.inspect = perform.inspect, _all_passed
    yield
    perform.inspect = asked
