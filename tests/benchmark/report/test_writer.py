"""The published folder: complete, linked, reproducible, and replaced as a whole or not at all."""

import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from gmbench.benchmark.analysis.claims.comparison import Accuracy
from gmbench.benchmark.analysis.eer_table import EER_COLUMNS, eer_table
from gmbench.benchmark.analysis.leaderboard import LEADERBOARD_COLUMNS, leaderboard
from gmbench.benchmark.report import writer as report
from gmbench.benchmark.report.figures.examples import Examples
from gmbench.benchmark.report.writer import write_report

FGSM = ("fgsm", "Linf", (0.2,), "white-box", "oblivious", 1.0, 1.0)
CW = ("cw", "L2", (np.inf,), "white-box", "oblivious", 1.0, 1.0)
SENTENCE = "88 % of the gradients of fgsm were exactly 0"
CHECKS = pd.DataFrame(
    {
        "model": ["m", "m"],
        "check": ["noise", "zeros"],
        "state": ["passed", "failed"],
        "p": [np.nan, np.nan],
        "detail": ["fine", SENTENCE],
        "advice": ["", "climb the margin"],
    }
)


def frames(samples, checks=CHECKS):
    eer = eer_table(samples, resamples=5)
    board = leaderboard(samples, eer, checks)
    return {
        "samples": samples,
        "eer": eer,
        "leaderboard": board,
        "checks": checks,
        "title": "tiny-v1",
        "facts": {"device": "CPU"},
    }


@pytest.fixture(scope="module")
def parts(make_samples):
    """The frames of a suite with one seed, one eps and a user's loss that no likelihood comes with."""
    few = make_samples(
        losses=("mine",), seeds=(0,), images=40, validation=20, attacks=(FGSM,), detectors=("energy", "msp")
    )
    images = np.full((1, 1, 4, 4), 0.5, np.float32)
    classes = np.zeros(1, int)
    return frames(few) | {
        "examples": [
            Examples("fgsm", 0.2, images, images + np.float32(0.1), classes, classes, classes + 1, "mine-s0")
        ]
    }


@pytest.fixture(scope="module")
def written(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "tiny-v1"
    write_report(folder, **parts)
    return folder


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_everything_is_there(written):
    names = set(bytes_of(written))
    figures = {
        *(
            "roc/fgsm-Linf-white-box-oblivious",
            "figures/histogram-mine",
            "figures/eer-all",
            "figures/eer-successful",
            "figures/accuracy",
        ),
        *(
            "figures/accuracy-by-attack",
            "figures/detectors-all",
            "figures/detectors-successful",
            "figures/examples-mine-s0",
        ),
    }
    tables = {
        "README.md",
        "checks.csv",
        "eer.csv",
        "eer.md",
        "eer.tex",
        "leaderboard.csv",
        "leaderboard.md",
        "ranking.csv",
        "samples.parquet",
    }
    assert names == tables | {figure + suffix for figure in figures for suffix in (".png", ".svg")}
    # nothing half-made is left beside it
    assert [path.name for path in written.parent.iterdir()] == ["tiny-v1"]


def test_the_readme_links_to_what_exists_and_to_all_of_it(written):
    text = (written / "README.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(([^)]+)\)", text))
    assert all((written / link).exists() for link in links)
    assert {str(path.relative_to(written)) for path in written.rglob("*.png")} <= links
    for said in (
        "# tiny-v1",
        "mine: `msp`",
        "1 of 2 sanity checks **failed**",
        SENTENCE,
        "climb the margin",
        "| device | CPU |",
    ):
        assert said in text
    assert "fine" not in text  # passed checks are counted, not listed
    assert "nan" not in re.sub(r"\(.*?\)", "", text).lower()


def test_the_readme_begins_with_what_matters_and_folds_the_rest(make_samples, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_figures", lambda *_: iter(()))
    few = make_samples(
        losses=("lgm", "softmax"),
        seeds=(0,),
        images=40,
        validation=20,
        attacks=(FGSM,),
        detectors=("likelihood", "msp"),
    )
    accuracies = [
        Accuracy(f"{loss}-s0", loss, "mnist", 100, 6, 0.997, 0.996, 0.998) for loss in ("gm", "softmax")
    ]
    write_report(tmp_path / "r", **frames(few), examples=[], accuracies=accuracies)
    text = (tmp_path / "r" / "README.md").read_text(encoding="utf-8")
    order = [
        "## Checks",
        "## Summary",
        "## The papers' claims",
        "## Leaderboard",
        "<details>",
        "</details>",
        "## The paper's figures",
    ]
    places = [text.index(heading) for heading in order]
    assert places == sorted(places)
    assert "GM is more accurate than softmax" in text
    assert "| L-GM | Wan et al. 2018 | likelihood | 1 |" in text
    assert "nan" not in text.lower()


def test_a_second_write_gives_the_same_bytes(parts, written):
    before = bytes_of(written)
    write_report(written, **parts)
    assert bytes_of(written) == before


@pytest.mark.parametrize(
    ("name", "frame", "columns"),
    [("eer", "eer", EER_COLUMNS), ("leaderboard", "leaderboard", LEADERBOARD_COLUMNS)],
)
def test_csv_holds_the_frame_to_five_digits(parts, written, name, frame, columns):
    read = pd.read_csv(written / f"{name}.csv", keep_default_na=False, na_values=[""], dtype={"knows": str})
    assert tuple(read.columns) == columns
    expected = parts[frame]
    for column in columns:
        if pd.api.types.is_float_dtype(expected[column]):
            np.testing.assert_allclose(read[column].astype(float), expected[column], rtol=1e-4)
        else:
            assert read[column].fillna("").astype(str).tolist() == expected[column].astype(str).tolist()
    assert b"\r" not in (written / f"{name}.csv").read_bytes()


def test_parquet_holds_every_score(parts, written):
    read = pd.read_parquet(written / "samples.parquet")
    pd.testing.assert_frame_equal(read, parts["samples"], check_dtype=False, check_categorical=False)
    assert read["score_msp"].dtype == np.float32
    assert read["eps"].dtype == np.float64  # .1 stays .1
    assert isinstance(read["label"].dtype, pd.CategoricalDtype)
    assert pq.ParquetFile(written / "samples.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_infinite_eps_alone(make_samples, tmp_path):
    """Nothing to draw against eps, and two of the paper's losses."""
    one = make_samples(
        losses=("lgm", "softmax"),
        seeds=(0,),
        images=30,
        validation=0,
        attacks=(CW,),
        detectors=("likelihood", "msp"),
    )
    write_report(tmp_path / "r", **frames(one, CHECKS[:1]), examples=[])
    names = set(bytes_of(tmp_path / "r"))
    assert "figures/accuracy-by-attack.png" in names
    assert not any(name.startswith("figures/eer") for name in names)
    text = (tmp_path / "r" / "README.md").read_text(encoding="utf-8")
    assert "All 1 sanity checks passed." in text
    assert "## Summary" not in text
    assert "## The papers' claims" not in text
    assert "nan" not in text.lower()


def test_a_failure_leaves_the_earlier_report_as_it_was(parts, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "README.md").write_text("earlier", encoding="utf-8")
    monkeypatch.setattr(report, "_figures", lambda *_: iter(()))

    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(report, "readme", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(folder, **parts)
    assert bytes_of(folder) == {"README.md": b"earlier"}
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_an_earlier_report_is_replaced_as_a_whole(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_figures", lambda *_: iter(()))
    (tmp_path / "r" / "roc").mkdir(parents=True)
    (tmp_path / "r" / "roc" / "gone.png").write_bytes(b"")
    (tmp_path / ".r.building").mkdir()  # of a run that was killed
    write_report(tmp_path / "r", **parts)
    assert not (tmp_path / "r" / "roc" / "gone.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_of_something_else_is_refused(parts, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(
        FileExistsError,
        match=r"expected .* to be new or an earlier report, which is replaced, got one with thesis.tex",
    ):
        write_report(tmp_path, **parts)
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "years of work"


def test_a_file_in_the_way_is_refused(parts, tmp_path):
    (tmp_path / "r").write_bytes(b"")
    with pytest.raises(FileExistsError, match="to be a folder, got a file"):
        write_report(tmp_path / "r", **parts)
