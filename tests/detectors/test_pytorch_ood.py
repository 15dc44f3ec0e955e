"""The adapter gives pytorch-ood's detectors what they ask for, and their scores as they are."""

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from gmbench.detectors import DETECTORS
from gmbench.detectors.pytorch_ood import PytorchOOD
from gmbench.models import HEADS, Classifier, Outputs

library = pytest.importorskip("pytorch_ood.detector", reason="needs pip install 'gmbench[ood]'")

NAMES = [name for name in DETECTORS if name.startswith("ood:")]
D, K = 6, 3


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Features are the image, logits the distances to class means: three far corners."""
    head = nn.Linear(D, K)
    with torch.no_grad():
        head.weight.copy_(8 * torch.eye(K, D))
        head.bias.fill_(-32)
    return Classifier(nn.Flatten(), head).eval()


@torch.no_grad()
def clean(classifier: Classifier, count: int, seed: int) -> tuple[Outputs, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % K
    features = 8 * torch.eye(K, D)[y] + torch.randn(count, D, generator=generator)
    return classifier.outputs(features.view(count, 1, 2, 3)), y


def build(name: str, classifier: Classifier) -> PytorchOOD:
    detector = DETECTORS.build(name)
    assert isinstance(detector, PytorchOOD)
    return detector.bind(classifier) if detector.needs_model else detector


def test_each_is_another_of_the_library() -> None:
    kinds = {DETECTORS.build(name).kind for name in NAMES}  # type: ignore[attr-defined]
    assert len(kinds) == len(NAMES) == 19
    assert kinds <= set(library.__all__)


# DICE keeps a tenth of the weights and LTS the strongest activations: so small a net has none to spare
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ood:dice", "ood:lts"}))
@torch.no_grad()
def test_outliers_between_the_classes_score_higher(name: str, classifier: Classifier) -> None:
    detector = build(name, classifier)
    outputs, y = clean(classifier, 300, 0)
    assert detector.applies(outputs)
    detector.fit(outputs, y)
    generator = torch.Generator().manual_seed(1)
    middle = torch.full((60, D), 8 / 3) + torch.randn(60, D, generator=generator)
    inside, _ = clean(classifier, 60, 2)
    scores = torch.cat([detector.score(inside), detector.score(classifier.outputs(middle.view(60, 1, 2, 3)))])
    assert scores.isfinite().all()
    assert scores.dtype == torch.float32
    assert roc_auc_score([0] * 60 + [1] * 60, scores.numpy()) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_each_image_is_scored_by_itself(name: str, classifier: Classifier) -> None:
    detector = build(name, classifier).fit(*clean(classifier, 300, 0))
    outputs, _ = clean(classifier, 8, 1)
    alone = torch.cat([detector.score(outputs[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(detector.score(outputs), alone, rtol=1e-4, atol=1e-4)
    assert detector.score(outputs[:0]).shape == (0,)


@torch.no_grad()
def test_scores_are_the_librarys_own(classifier: Classifier) -> None:
    (train, y), (outputs, _) = clean(classifier, 300, 0), clean(classifier, 20, 1)
    head = classifier.head
    theirs = {
        "ood:energy": library.EnergyBased(None).predict_logits(outputs.logits),
        "ood:vim": library.ViM(None, D // 2, head.weight.detach(), head.bias.detach())
        .fit_features(train.features, y)
        .predict_features(outputs.features),
        "ood:she": library.SHE(None, head).fit_features(train.features, y).predict_features(outputs.features),
    }
    for name, expected in theirs.items():
        assert torch.equal(build(name, classifier).fit(train, y).score(outputs), expected), name


def test_energy_is_ours(classifier: Classifier) -> None:
    outputs, y = clean(classifier, 30, 0)
    mine = DETECTORS.build("energy").score(outputs)
    torch.testing.assert_close(build("ood:energy", classifier).fit(outputs, y).score(outputs), mine)


def test_what_reads_weights_applies_to_linear_heads_alone(classifier: Classifier) -> None:
    mixture = Classifier(nn.Flatten(), HEADS.build("lgm", features=D, classes=K)).eval()
    outputs, _ = clean(classifier, 6, 0)
    for name in NAMES:
        detector = build(name, mixture)
        assert detector.applies(outputs) != detector.needs_linear


def test_features_that_are_not_finite_are_refused(classifier: Classifier) -> None:
    outputs, y = clean(classifier, 30, 0)
    broken = outputs.each(lambda tensor: tensor * math.nan)
    with pytest.raises(ValueError, match="expected finite training features, got 30 samples"):
        build("ood:gmm", classifier).fit(broken, y)
