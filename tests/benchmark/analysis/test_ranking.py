"""The ranking: a row a defense, by the strongest threat model."""

import numpy as np
import pandas as pd

from gmbench.benchmark.analysis.ranking import RANKING_COLUMNS, ranking

from ..made_results import robust

DETECTORS = {"lgm": "likelihood", "softmax": "msp", "mine": "msp"}


def test_the_middle_eps_of_who_knows_the_detector_decides():
    eps = (0.1, 0.2, 0.3)
    knowing = robust(
        {"lgm": {0: [0.9, 0.5, 0.1], 1: [0.8, 0.4, 0.0]}, "softmax": [0.95, 0.6, 0.0]},
        awareness="adaptive",
        eps=eps,
    )
    blind = robust({"lgm": [1.0, 1.0, 1.0], "mine": [1.0, 1.0, 1.0]}, eps=eps)
    query = robust({"softmax": [0.0, 0.0, 0.0]}, awareness="adaptive", access="query", eps=eps)
    board = pd.concat([blind, knowing, query], ignore_index=True)
    board.loc[board["model"] == "softmax-s0", "verdict"] = "suspect"
    found = ranking(board, DETECTORS)
    assert tuple(found.columns) == RANKING_COLUMNS
    assert list(found.index) == [0, 1, 2, 3]
    assert found["name"].tolist() == ["softmax-s0", "lgm-s0", "lgm-s1", "mine-s0"]
    assert found["value"].tolist()[:3] == [0.6, 0.5, 0.4]
    assert found["n"].tolist() == [1000, 1000, 1000, 0]
    assert np.isnan(found["value"].iloc[3])  # nobody who knows its detector attacked it
    assert found["verdict"].tolist() == ["suspect", "sound", "sound", "sound"]


def test_a_row_of_another_detector_counts_for_nothing():
    board = robust({"softmax": [0.5]}, awareness="adaptive")
    board["detector"] = "kde"
    assert ranking(board, DETECTORS).empty


def test_without_an_adaptive_attack_there_is_no_value():
    found = ranking(robust({"softmax": [0.5]}), DETECTORS)
    assert found["name"].tolist() == ["softmax-s0"]
    assert found["value"].isna().all()
