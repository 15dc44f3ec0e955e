"""SuiteResults made up for a test, so that a judgement is known by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gmbench.benchmark.analysis.claims.comparison import Accuracy, SuiteResults
from gmbench.benchmark.analysis.claims.every import CLAIMS
from gmbench.benchmark.analysis.features.space import ModelFeatures
from gmbench.benchmark.analysis.features.symmetry import Symmetry

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
FULL = "fgsm;pgd;square"
DETECTORS = {
    "lgm": "likelihood",
    "center": "likelihood",
    "softmax": "msp",
    "gm": "likelihood",
    "mcat": "own",
    "gccs": "own",
}
BOARD = [
    "model",
    "loss",
    "seed",
    "norm",
    "eps",
    "access",
    "awareness",
    "detector",
    "images",
    "clean_accuracy",
    "attacks",
    "verdict",
]


def claim(words):
    (found,) = [one for one in CLAIMS if words in one.claim]
    return found.judge


def robust(shares, *, access="white-box", awareness="oblivious", eps=(0.1,), half=0.02, **changed):
    """Make a leaderboard; ``shares`` is {loss: [one per eps]} or {loss: {seed: [...]}}.

    Intervals reach ``half`` up and down.
    """
    rows = []
    for loss, given in shares.items():
        for seed, values in (given if isinstance(given, dict) else {0: given}).items():
            for size, value in zip(eps, values, strict=True):
                ends = {"": value, "_low": max(value - half, 0.0), "_high": min(value + half, 1.0)}
                told = [
                    f"{loss}-s{seed}",
                    loss,
                    seed,
                    "Linf",
                    size,
                    access,
                    awareness,
                    DETECTORS.get(loss, "msp"),
                    1000,
                    0.99,
                    FULL,
                    "sound",
                ]
                row = dict(zip(BOARD, told, strict=True))
                row |= {
                    f"{column}{end}": share
                    for column in ("robust_accuracy", "robust_accuracy_with_detection")
                    for end, share in ends.items()
                }
                rows.append(row | {"clean_accepted": 0.99, "eer_all": 0.1, "eer_successful": 0.1} | changed)
    return pd.DataFrame(rows)


def eers(values, *, attack="fgsm", eps=(0.1,), half=0.005, adversarials=100):
    """Make an eer frame, {loss: {seed: [EER at each eps]}}, alike for both populations."""
    shared = {"attack": attack, "label": attack, "norm": "Linf", "access": "white-box"}
    shared["adversarials"] = adversarials
    shared["awareness"] = "adaptive" if attack == "likelihood-fgsm" else "oblivious"
    rows = [
        shared
        | {
            "model": f"{loss}-s{seed}",
            "loss": loss,
            "seed": seed,
            "eps": size,
            "detector": DETECTORS[loss],
            "population": population,
        }
        | {"eer": value, "eer_low": value - half, "eer_high": value + half}
        for loss, seeds in values.items()
        for seed, curve in seeds.items()
        for size, value in zip(eps, curve, strict=True)
        for population in ("all", "successful")
    ]
    return pd.DataFrame(rows)


def card(loss, accuracy, *, seed=0, half=0.001, data="mnist", features=100, epochs=6, note=""):
    return Accuracy(
        f"{loss}-s{seed}", loss, data, features, epochs, accuracy, accuracy - half, accuracy + half, note
    )


def looked(loss, angles, *, spread=0.1, seed=0, dimensions=100):
    values = np.asarray(angles, dtype=float)
    name = f"{loss}-s{seed}"
    return ModelFeatures(name, loss, Symmetry(name, loss, dimensions, 3, values, np.ones(3)), spread, None)


EMPTY = SuiteResults(eers({"softmax": {0: [0.1]}}, attack="none"), robust({"softmax": [0.5]}), DETECTORS)


def judged(judge, **found):
    judgement = judge(replace(EMPTY, **found))
    return judgement.held if judgement else None
