"""Samples tables are read with today's columns, whenever they were published."""

import pandas as pd
import pytest

from gmbench.benchmark.analysis.samples_file import read_samples
from gmbench.benchmark.engine.suite import AttackPlan, load_suite


@pytest.fixture
def samples(make_samples):
    attacks = (
        ("fgsm", "Linf", (0.1, 0.3), "white-box", "oblivious", 0.6, 1.0),
        ("transfer-pgd", "Linf", (0.3,), "transfer", "oblivious", 0.4, 0.5),
    )
    return make_samples(
        losses=("lgm",), seeds=(0,), images=5, validation=5, attacks=attacks, detectors=("msp",)
    )


@pytest.fixture
def suite():
    plans = (AttackPlan(label="fgsm", attack="fgsm", eps=(0.1,)),)
    plans += (AttackPlan(label="transfer-pgd", attack="pgd", eps=(0.1,), access="transfer"),)
    return load_suite("digits-v1").model_copy(update={"attacks": plans})


def test_a_table_of_today_is_read_as_it_is(samples, suite, tmp_path):
    samples.to_parquet(tmp_path / "samples.parquet", index=False)
    pd.testing.assert_frame_equal(read_samples(tmp_path / "samples.parquet", suite), samples)


def test_an_older_table_has_todays_columns(samples, suite, tmp_path):
    older = samples.drop(columns="attack").rename(columns={"label": "attack", "y": "label"})
    older.to_parquet(tmp_path / "samples.parquet", index=False)
    found = read_samples(tmp_path / "samples.parquet", suite)
    assert set(found["attack"]) == {"clean", "fgsm", "pgd"}
    pd.testing.assert_frame_equal(found[sorted(found)], samples[sorted(samples)])


def test_what_cannot_be_read_gets_one_line(samples, suite, tmp_path):
    older = samples.drop(columns="attack").rename(columns={"label": "attack", "y": "label"})
    older.to_parquet(tmp_path / "old.parquet")
    fewer = suite.model_copy(update={"attacks": suite.attacks[:1]})
    with pytest.raises(ValueError, match="to be labels of digits-v1, got 'transfer-pgd'; give the suite"):
        read_samples(tmp_path / "old.parquet", fewer)
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 nothing")
    for name in ("damaged.parquet", "none.parquet"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read: .+") as told:
            read_samples(tmp_path / name, suite)
        assert "\n" not in str(told.value)
