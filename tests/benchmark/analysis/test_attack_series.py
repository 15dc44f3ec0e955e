"""Which rows of the frames speak of an attack, and which of them count."""

import numpy as np
import pandas as pd

from gmbench.benchmark.analysis.attack_series import FGSM, accuracy_by_attack, reliable, rows_of, series_of
from gmbench.benchmark.analysis.model_samples import models_of

ROW = {
    "model": "m",
    "attack": "fgsm",
    "label": "fgsm",
    "norm": "Linf",
    "eps": 0.1,
    "access": "white-box",
    "awareness": "oblivious",
    "detector": "msp",
    "population": "all",
    "adversarials": 100,
    "eer": 0.1,
}


def frame(*changes):
    return pd.DataFrame([ROW | change for change in changes])


def test_ten_adversarials_are_enough_and_nine_are_not():
    eer = frame({"adversarials": 9}, {"adversarials": 10}, {"adversarials": 11})
    assert reliable(eer)["eer"].isna().tolist() == [True, False, False]


def test_an_attack_is_found_by_its_name_in_the_registry():
    eer = frame({"label": "single step"}, {"attack": "pgd"}, {"norm": "L2"}, {"access": "transfer"})
    assert rows_of(eer, FGSM)["label"].tolist() == ["single step"]


def test_of_several_variants_each_training_counts_where_it_does_worst():
    eer = frame(
        {"label": "a", "eer": 0.3},
        {"label": "b", "eer": 0.1},
        {"model": "n", "label": "a", "eer": 0.2},
        {"model": "n", "label": "b", "eer": np.nan},
        {"label": "b", "eps": 0.2, "eer": np.nan},
    )
    assert rows_of(eer, FGSM).index.tolist() == [0, 2, 4]


def test_series_are_told_apart_by_label_alone_where_all_else_is_the_same():
    eer = frame({"label": "a"}, {"label": "b"}, {"label": "a", "eps": 0.2}, {"attack": "clean"})
    first, second = series_of(eer)
    assert (first.attack, first.label, second.label) == ("fgsm", "a", "b")
    assert first.rows(eer).index.tolist() == [0, 2]
    assert (first.title, first.slug) == ("a (Linf, white-box, oblivious)", "a-Linf-white-box-oblivious")


def test_accuracy_by_attack_counts_what_was_attacked(by_hand):
    attacks = {
        ("fgsm", "Linf", 0.1, "white-box", "oblivious"): {"id": [0, 1, 3], "predicted": [1, 0, 1]},
        ("noise", "Linf", 0.1, "decision", "oblivious"): {"predicted": [0, 0, 0, 1]},
    }
    table = accuracy_by_attack(models_of(by_hand({"predicted": [0, 0, 0, 1]}, attacks))).set_index("label")
    assert table["clean_accuracy"].tolist() == [2 / 3, 3 / 4]
    assert table["accuracy"].tolist() == [1 / 3, 3 / 4]
