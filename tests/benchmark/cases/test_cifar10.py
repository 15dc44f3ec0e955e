"""The suite cifar10-v1 on a stand-in: small files in CIFAR-10's format, models of its JPEG copies."""

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gmbench.benchmark.data.datasets import DATASETS
from gmbench.benchmark.data.named import cifar, official
from gmbench.benchmark.engine.suite import SUITES, load_suite
from gmbench.benchmark.engine.zoo.checkpoints import fetched, listed
from gmbench.models.recipe import recipes

from ..data.made_data import random_images
from .conftest import Bench

TRAIN, TEST, HELD_OUT = 300, 40, 60


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data root with made-up images in the files of CIFAR-10."""
    monkeypatch.setattr(official, "HELD_OUT", HELD_OUT)
    source = cifar.cifar10()
    hashes: dict[str, dict[str, str]] = {}
    files = {"train": (source.train, TRAIN // 5), "test": (source.test, TEST)}
    for part, (names, n) in files.items():
        for seed, name in enumerate(names):
            x = np.stack(random_images(n, (3072,), seed))
            content = pickle.dumps({"data": x, "labels": [i % 10 for i in range(n)]}, protocol=2)
            hashes.setdefault(part, {})[name] = write(tmp_path / "data" / source.folder / name, content)
    [meta] = source.meta
    content = pickle.dumps({"label_names": [f"kind {i}" for i in range(10)]}, protocol=2)
    hashes["meta"] = {meta: write(tmp_path / "data" / source.folder / meta, content)}
    monkeypatch.setitem(DATASETS._factories, "cifar10", lambda: replace(source, **hashes))
    return tmp_path / "data"


def write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def suite(bench: Bench) -> Path:
    """The suite as it is, but for its models: those of the copies that are in the zoo."""
    text = (SUITES / "cifar10-v1.toml").read_text()
    start, stop = text.index("models = ["), text.index("detectors = [")
    models = 'models = ["cifar10-jpeg-softmax-s0", "cifar10-jpeg-lgm-s0"]\n'
    surrogate = 'surrogate = "cifar10-jpeg-surrogate-s1"\n'
    path = bench.folder / "cifar10-v1.toml"
    path.write_text(text[:start] + models + surrogate + text[stop:])
    return path


def test_every_model_has_a_recipe_in_the_zoo_or_is_robustbenchs() -> None:
    read = load_suite("cifar10-v1")
    ours = [
        name for name in (*read.models, *read.surrogate) if not name.startswith("robustbench:cifar10/Linf/")
    ]
    assert {name.rpartition("-s")[0] for name in ours} <= set(recipes())
    trained = {f"{name}-s{seed}" for name, seed in listed() if name in fetched()}
    assert set(ours) == trained
    assert "not published from here" in read.note
    assert {round(255 * eps) for plan in read.attacks for eps in plan.eps if eps < 1} == {2, 4, 6, 8}


@pytest.mark.slow
def test_it_is_planned_on_a_stand_in(bench: Bench, suite: Path, stand_in: Path) -> None:
    code, said = bench.run(suite, "--dry-run", "--data-root", stand_in)
    assert (code, said) == (0, "")


def test_without_the_data_it_is_one_line(bench: Bench, tmp_path: Path) -> None:
    said = bench.refused("cifar10-v1", "--data-root", tmp_path / "nowhere")
    assert said.endswith("fetch it with: gmbench data cifar10")


@pytest.mark.slow
def test_it_runs_on_a_stand_in(bench: Bench, suite: Path, stand_in: Path) -> None:
    narrowed = ("--samples", 10, "--attacks", "fgsm", "--attacks", "transfer-pgd", "--models", "*-softmax-s0")
    code, said = bench.run(suite, "--data-root", stand_in, *narrowed)
    assert code == 0, said
    assert "not published from here" in bench.page("cifar10-v1-narrowed")
