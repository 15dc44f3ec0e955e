"""Detectors from a notebook: the numbers are those of the analysis, the thresholds validation's."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

import gmbench as gm
from gmbench.attacks.core.grid import on_grid
from gmbench.benchmark.analysis import metrics

X, Y = gm.load_data("digits", "test", samples=60)


@pytest.fixture(scope="module")
def run() -> gm.AttackRun:
    return gm.attack(gm.load("digits-lgm-s0"), X, Y, gm.FGSM(), eps=0.1)


def scores(model: gm.Model, x: Tensor) -> np.ndarray:
    """Minus the log-likelihood under the predicted class."""
    with torch.no_grad():
        return -model.classifier.outputs(x).log_likelihood.amax(1).numpy()


def test_figures_are_those_of_the_scores(run: gm.AttackRun) -> None:
    found = gm.detect(run, "likelihood")
    clean, attacked = scores(run.model, X), scores(run.model, on_grid(X, run.x_adv, run.threat))
    held_out = scores(run.model, gm.load_data("digits", "validation")[0])
    threshold = np.sort(held_out)[::-1][int(0.05 * len(held_out))]
    assert found.eer == pytest.approx(metrics.eer(clean, attacked), abs=1e-4)
    assert found.auroc == pytest.approx(roc_auc_score([0] * 60 + [1] * 60, [*clean, *attacked]), abs=1e-4)
    assert found.tpr(fpr=0.05) == pytest.approx(np.mean(attacked > threshold), abs=1e-6)
    assert found.fpr(0.05) == pytest.approx(np.mean(clean > threshold), abs=1e-6)
    assert f"{found.eer:.1%}" in found._repr_html_()


def test_successes_alone_can_be_the_positives(run: gm.AttackRun) -> None:
    found = gm.detect(run, "msp", successful=True)
    assert 0 < len(found.positives) == int(run.table["success_8bit"].sum()) < 60
    every = gm.detect(run, "msp")
    np.testing.assert_array_equal(
        found.positives, every.adversarial[run.table["success_8bit"].to_numpy(bool)]
    )


def test_training_and_validation_images_can_be_given(run: gm.AttackRun) -> None:
    train, held_out = gm.load_data("digits", "train"), gm.load_data("digits", "validation")
    given = gm.detect(run, "mahalanobis", train=train, validation=held_out)
    found = gm.detect(run, "mahalanobis")
    np.testing.assert_array_equal(given.adversarial, found.adversarial)
    other = gm.detect(run, "mahalanobis", train=(train[0][:300], train[1][:300]), validation=held_out)
    assert not np.array_equal(other.adversarial, found.adversarial)


def test_the_detector_that_a_defense_brings_is_its_own(run: gm.AttackRun) -> None:
    @dataclass
    class First(gm.Detector):
        def score(self, outputs: gm.Outputs) -> Tensor:
            return outputs.features[:, 0]

    defense = gm.Defense("ring", run.model.classifier, First())
    own = gm.detect(gm.attack(defense, X, Y, gm.FGSM(), eps=0.1), "own", train=(X, Y), validation=(X, Y))
    assert own.clean == pytest.approx(run.model.classifier.features(X)[:, 0].detach().numpy(), abs=1e-4)


def test_a_plot_shows_the_curve_and_both_histograms(run: gm.AttackRun) -> None:
    figure = gm.detect(run, "likelihood").plot()
    curve, histogram = figure.axes
    assert np.asarray(curve.lines[0].get_ydata())[[0, -1]].tolist() == [0, 1]
    assert [text.get_text() for text in histogram.get_legend().get_texts()] == ["clean", "attacked"]


def test_a_model_of_unknown_data_asks_for_them() -> None:
    classifier, _ = gm.load_checkpoint("digits-lgm-s0")
    run = gm.attack(classifier, X[:5], Y[:5], gm.FGSM(), eps=0.1)
    with pytest.raises(ValueError, match=r"expected to know what 'mine' was trained on: give train=\(x, y\)"):
        gm.detect(run, "msp")


def test_a_detector_that_does_not_apply_is_refused() -> None:
    run = gm.attack("digits-softmax-s0", X[:5], Y[:5], gm.FGSM(), eps=0.1)
    with pytest.raises(
        ValueError, match="expected a detector that applies to 'digits-softmax-s0', got Likeli"
    ):
        gm.detect(run, "likelihood")
    with pytest.raises(KeyError, match="did you mean 'msp'"):
        gm.detect(run, "mps")
