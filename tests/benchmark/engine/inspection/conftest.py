"""A model under inspection, by its name in the zoo or among the planted frauds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gmbench.attacks import ThreatModel
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.defense import building, entrant_by_name
from gmbench.benchmark.engine.inspection.subject import Images, Subject
from gmbench.models import Classifier

FRAUDS = Path(__file__).parents[2] / "frauds" / "files"


@pytest.fixture(scope="session")
def subject() -> Callable[..., Subject]:
    """A function that takes a name, or a classifier, and perhaps other fields of the subject."""
    test, validation = (
        Images(split.images(), split.y, split.ids)
        for split in (load_data("digits", "test").head(100), load_data("digits", "validation"))
    )

    def make(model: str | Classifier, **changed: object) -> Subject:
        fraud = FRAUDS / f"{model}.py"
        if isinstance(model, str) and fraud.exists():
            with building(fraud) as (defense, _):  # in this process, where there is something to look at
                model = defense.classifier
        elif isinstance(model, str):
            model = entrant_by_name(model, (1, 8, 8)).classifier
        return replace(Subject(model, test, validation, (ThreatModel("Linf", 0.1),)), **changed)

    return make
