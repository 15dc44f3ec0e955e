"""``gmbench store``: a run's entries are told, carried elsewhere and cleaned; a report there is the same."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from gmbench.benchmark.engine.entry import Entry, key_of
from gmbench.benchmark.engine.store import Store

SUITE = """
name = "kept-v1"
data = "digits"
samples = 30
models = ["digits-lgm-s0", "digits-softmax-s0"]
surrogate = "digits-surrogate-s0"
detectors = ["likelihood", "msp", "kde"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1, 0.3]

[[attacks]]
label = "transfer"
attack = "fgsm"
eps = [0.1]
access = "transfer"

[[attacks]]
label = "evasion"
attack = "evasion"
options = { steps = 2 }
eps = [0.1]
knows = "kde"
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(gmbench: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the suite, its store and its results."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "kept.toml").write_text(SUITE, encoding="utf-8")
    arguments = (folder / "kept.toml", "--store", folder / "store", "--results", folder / "results")
    assert gmbench("run", *arguments) == 0
    return folder


@pytest.fixture
def run(gmbench: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = gmbench(*arguments)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A copy of the store, to be spoilt."""
    shutil.copytree(made / "store", tmp_path / "store")
    return Store(tmp_path / "store")


def report(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_two_entries_a_cell_and_one_a_fit(made: Path) -> None:
    """Cells and scores; of both models the fits, an inspection and a probe, and the surrogate's probe."""
    cells = 2 * (2 + 2 + 1 + 1)
    assert len(Store(made / "store").keys()) == 2 * cells + (3 + 2) + 2 + 3


@pytest.mark.slow
def test_what_is_exported_gives_the_same_report_elsewhere_and_attacks_nothing(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, stored = tmp_path / "kept.tar", ("--store", made / "store")
    status, told, _ = run("store", "export", made / "kept.toml", file, *stored)
    assert status == 0
    assert "12 cell" in told
    monkeypatch.setattr("gmbench.attacks.fgsm.FGSM.__call__", pytest.fail)
    monkeypatch.setattr("gmbench.attacks.evasion.Evasion.__call__", pytest.fail)
    places = ("--store", tmp_path / "store", "--results", tmp_path / "results")
    status, told, _ = run("store", "import", file, "--store", tmp_path / "store")
    assert status == 0
    assert f"{len(Store(made / 'store').keys())} entries taken, 0 were there" in told
    assert run("report", made / "kept.toml", *places)[0] == 0
    assert report(tmp_path / "results" / "kept-v1") == report(made / "results" / "kept-v1")
    status, told, _ = run("run", made / "kept.toml", *places)
    assert status == 0
    assert "0 cells computed, 12 from the store" in told


def test_a_hostile_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file.tar").write_bytes(b"x" * 5000)
    for name in ("file.tar", "none.tar", "."):
        status, _, errors = run("store", "import", tmp_path / name, "--store", tmp_path / "store")
        assert status == 2
        assert len(errors.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_of_a_suite_that_was_not_run_nothing_is_exported(run: Run, made: Path, tmp_path: Path) -> None:
    where = ("--store", tmp_path / "empty")
    status, _, errors = run("store", "export", made / "kept.toml", tmp_path / "kept.tar", *where)
    assert status == 2
    assert "got nothing" in errors
    assert not (tmp_path / "kept.tar").exists()


def test_sizes_are_told_by_suite_and_model(run: Run, store: Store, tmp_path: Path) -> None:
    status, told, _ = run("store", "--store", store.root)
    assert status == 0
    rows = {line.split()[-4]: line for line in told.splitlines() if "digits-" in line or "(any)" in line}
    assert set(rows) == {"digits-lgm-s0", "digits-softmax-s0", "(any)"}
    assert all("none of today's" in line for name, line in rows.items() if name != "(any)")
    entries = sum(int(line.split()[-2]) for line in told.splitlines() if re.search(r"digits-|\(any\)", line))
    assert entries == len(store.keys())
    assert "nothing in the store" in run("store", "--store", tmp_path / "empty")[1]


def test_prune_keeps_what_a_named_suite_needs_and_asks(
    run: Run, store: Store, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed, where = store.keys(), ("--store", store.root)
    cell = next(entry for entry in map(store.read_key, needed) if entry.description.get("attack"))
    older = Entry({**cell.description, "numerics": 1}, cell.table, cell.images, cell.facts)
    unwanted = Entry({"of": key_of(cell.description), "scores": {"gone": {}}}, cell.table)
    part = Entry({"part": [0, 30], "cell": key_of(cell.description)}, cell.table)
    for entry in (older, unwanted, part):
        store.write(entry)
    status, told, _ = run("store", "prune", made / "kept.toml", "--dry-run", *where)
    assert status == 0
    assert f"3 of {len(needed) + 3} entries" in told
    assert len(store.keys()) == len(needed) + 3
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert "nothing was removed" in run("store", "prune", made / "kept.toml", *where)[1]
    assert len(store.keys()) == len(needed) + 3
    assert run("store", "prune", made / "kept.toml", "--yes", *where)[0] == 0
    assert store.keys() == needed
    assert "nothing to prune" in run("store", "prune", made / "kept.toml", "--yes", *where)[1]
    status, told, _ = run("store", "prune", "--yes", *where)  # no suite of today needs these
    assert status == 0
    left = [store.read_key(key).description for key in store.keys()]  # noqa: SIM118
    assert left  # what digits-v2 asks as well, clean validation images and fits
    assert not [told for told in left if told.get("attack")]


def test_prune_asks_nobody_who_is_not_there(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: str) -> bool:
        raise typer.Abort

    monkeypatch.setattr("typer.confirm", nobody)
    before = store.keys()
    status, _, errors = run("store", "prune", "--store", store.root)
    assert status == 2
    assert "--yes" in errors
    assert store.keys() == before


def test_verify_names_what_is_damaged(run: Run, store: Store) -> None:
    keys = store.keys()
    status, told, errors = run("store", "verify", "--store", store.root)
    assert status == 0
    assert "error" not in errors
    assert f"{len(keys)} of {len(keys)} entries" in told
    path = store.path(keys[0]) / "table.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    status, told, errors = run("store", "verify", "--store", store.root)
    assert status == 1
    assert keys[0][:12] in errors
    assert f"{len(keys) - 1} of {len(keys)} entries" in told
