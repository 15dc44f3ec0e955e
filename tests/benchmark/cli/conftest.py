"""A small suite, which several tests of the command line run."""

from pathlib import Path

import pytest

SMALL = """
name = "small-v1"
data = "digits"
samples = 60
models = ["digits-lgm-s0", "digits-softmax-s0"]
surrogate = "digits-surrogate-s0"
detectors = ["likelihood", "msp"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1, 0.3]

[[attacks]]
label = "pgd"
attack = "pgd"
options = { steps = 5 }
eps = [0.1, 0.3]

[[attacks]]
label = "transfer-pgd"
attack = "pgd"
options = { steps = 5 }
eps = [0.3]
access = "transfer"
"""


@pytest.fixture(scope="session")
def small() -> str:
    """The suite as text."""
    return SMALL


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The suite's file."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def places(tmp_path: Path) -> list[object]:
    """The options that name a store and results of the test's own."""
    return ["--store", tmp_path / "store", "--results", tmp_path / "results"]
