"""Paired differences against tables made by hand, and intervals against their own promise."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.paired import paired_difference, paired_differences

ATTACK = ("pgd", "Linf", 0.1, "white-box", "oblivious")
NOISE = ("fgsm", "Linf", 0.1, "white-box", "oblivious")
TRANSFER = ("transfer-pgd", "Linf", 0.1, "transfer", "oblivious")


def pair(yes_yes: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (yes_yes, only_a, only_b, neither)
    return tuple(
        np.repeat(np.array(flags), counts)[None]
        for flags in ((True, True, False, False), (True, False, True, False))
    )


def test_interval_of_a_two_by_two_table_is_bonett_and_prices() -> None:
    # by hand: (12 + 1) / 102 - (4 + 1) / 102, and 1.959964 sqrt((18 / 102 - (8 / 102)^2) / 102)
    difference, low, high = paired_difference(*pair(60, 12, 4, 24))
    assert difference == pytest.approx(0.08)
    assert low == pytest.approx(0.078431 - 1.959964 * ((0.176471 - 0.078431**2) / 102) ** 0.5, abs=1e-5)
    assert high == pytest.approx(0.078431 + 1.959964 * ((0.176471 - 0.078431**2) / 102) ** 0.5, abs=1e-5)


def test_equal_models_have_an_interval_around_zero_that_narrows() -> None:
    widths = []
    for images in (10, 1000):
        difference, low, high = paired_difference(*pair(images, 0, 0, 0))
        assert difference == 0
        assert low == -high < 0
        widths.append(high)
    assert widths[1] < widths[0] / 20


@pytest.mark.parametrize("p", [(0.9, 0.08, 0.02), (0.5, 0.3, 0.05), (0.97, 0.02, 0.01)])
def test_interval_holds_what_it_promises(p: tuple[float, float, float]) -> None:
    rng, true, inside = np.random.default_rng(0), p[1] - p[2], 0
    for _ in range(500):
        _, low, high = paired_difference(*pair(*rng.multinomial(200, [*p, 1 - sum(p)])))
        inside += low <= true <= high
    assert inside >= 465  # 93 %


def test_trainings_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    levels = np.array([0.3, 0.5, 0.7])[:, None]
    ours, theirs = rng.random((3, 400)) < levels, rng.random((1, 400)) < 0.5
    difference, low, high = paired_difference(ours, theirs)
    _, narrow_low, narrow_high = paired_difference(ours[1:2], theirs)
    assert difference == pytest.approx(ours.mean() - theirs.mean())
    assert low < difference < high
    assert high - low > 1.5 * (narrow_high - narrow_low)


def test_row_counts_the_images_that_both_kept(by_hand: Callable[..., pd.DataFrame]) -> None:
    clean = {"predicted": [0, 0, 0, 1]}
    first = by_hand(
        clean, {ATTACK: {"predicted": [0, 0, 1, 0]}, NOISE: {"predicted": [0, 1, 0, 0]}}, model="a"
    )
    second = by_hand(
        clean, {ATTACK: {"predicted": [0, 1, 1, 1]}, NOISE: {"predicted": [0, 0, 0, 1]}}, model="b"
    )
    frame = paired_differences(pd.concat([first, second]), "a", "b")
    [row] = frame.to_dict("records")
    # image 3 is wrong when clean; a keeps image 0, b keeps image 0
    assert (row["value_a"], row["value_b"], row["difference"], row["images"]) == (0.25, 0.25, 0, 4)
    assert row["attacks"] == "fgsm;pgd"
    assert row["low"] < 0 < row["high"]


def test_only_shared_attacks_and_images_count(by_hand: Callable[..., pd.DataFrame]) -> None:
    clean = {"predicted": [0, 0, 0, 0]}
    first = by_hand(
        clean, {ATTACK: {"predicted": [0, 1, 0, 0]}, TRANSFER: {"predicted": [1, 1, 1, 1]}}, model="a"
    )
    second = by_hand(clean, {ATTACK: {"id": [1, 2, 3], "predicted": [1, 1, 0]}}, model="b")
    [row] = paired_differences(pd.concat([first, second]), "a", "b").to_dict("records")
    assert (row["images"], row["attacks"]) == (3, "pgd")
    assert (row["value_a"], row["value_b"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    swapped = paired_differences(pd.concat([first, second]), "b", "a").to_dict("records")[0]
    assert swapped["difference"] == -row["difference"]
    assert (swapped["low"], swapped["high"]) == (pytest.approx(-row["high"]), pytest.approx(-row["low"]))


def test_losses_stand_for_all_their_trainings(make_samples: Callable[..., pd.DataFrame]) -> None:
    samples = make_samples(
        images=60, validation=20, attacks=[("pgd", "Linf", (0.1,), "white-box", "oblivious", 1.0, 1.0)]
    )
    [row] = paired_differences(samples, "lgm", "mnist-center-s1").to_dict("records")
    assert row["trainings"] == "3, 1"
    right = [
        1
        - samples[(samples["model"] == f"mnist-lgm-s{seed}") & (samples["label"] == "pgd")]
        .eval("predicted != y")
        .mean()
        for seed in range(3)
    ]
    assert row["value_a"] == pytest.approx(
        np.mean(right), abs=0.05
    )  # but for the images that are wrong when clean
    assert row["value_a"] <= np.mean(right)
    assert row["images"] == 60
    assert row["low"] <= row["difference"] <= row["high"]


def test_wrong_names_are_refused(by_hand: Callable[..., pd.DataFrame]) -> None:
    frame = by_hand({"predicted": [0, 0]}, {ATTACK: {"predicted": [0, 1]}}, model="a")
    with pytest.raises(ValueError, match="no model or loss named 'z' on this board; there are a, lgm"):
        paired_differences(frame, "a", "z")
    with pytest.raises(
        ValueError, match="expected two different models or losses to compare, got 'a' and 'lgm'"
    ):
        paired_differences(frame, "a", "lgm")


def test_what_is_minimal_counts_where_it_fits_and_where_both_met_it(
    by_hand: Callable[..., pd.DataFrame],
) -> None:
    minimal = ("fmn", "Linf", np.inf, "white-box", "oblivious")
    alone = ("hopskipjump", "Linf", np.inf, "decision", "oblivious")
    held = {"predicted": [0] * 4}
    found = {"predicted": [1] * 4, "success_8bit": [False] * 4}
    near, far = ({**found, "size": [size] * 4} for size in (0.09, 0.11))
    samples = pd.concat(
        [
            by_hand(held, {ATTACK: held, minimal: near}, model="near"),
            by_hand(held, {ATTACK: held, minimal: far, alone: near}, model="far"),
        ]
    )
    rows = paired_differences(samples, "near", "far").set_index(["eps"])
    assert rows.loc[0.1, ["value_a", "value_b", "attacks"]].tolist() == [0, 1, "fmn;pgd"]
    assert rows.loc[np.inf, ["value_a", "value_b", "attacks"]].tolist() == [0, 0, "fmn"]
