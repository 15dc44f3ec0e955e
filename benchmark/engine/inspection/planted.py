"""The binarisation test: an adversarial image that is there for sure, is it found?

Zimmermann, Brendel, Tramer, Carlini, "Increasing confidence in adversarial robustness evaluations", NeurIPS
2022, arXiv 2206.13991. Around each image a linear readout of the features tells points well inside the ball
from one point on its boundary: that one is adversarial for it. The attack of the evaluation must find such a
point. Different from the authors: the readout is closed-form (a discriminant with shrunk covariance) where
theirs is trained by gradient descent, so that the test takes no tuning; 48 inner points, one on the boundary.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ....attacks.core.norms import NORMS
from ....attacks.core.randomness import SampleRandom
from ....attacks.core.threat import ThreatModel
from ....attacks.pgd import PGD
from ....models.classifier import Classifier, Outputs
from .finding import Finding, State
from .subject import Images, Subject, attack

__all__ = ["planted"]

GROUP, GROUPS = 16, 2
"""Images in a batch, no more than a `Victim` ever takes through a net as one piece; batches."""

INNER = 48
"""Points inside, the image among them, in the ball of half the radius."""

BETWEEN = 0.8
"""Where the readout decides, from the outermost inner point (0) to the planted one (1)."""

SHRINK = 0.1
"""Of the inner points' mean variance, added to their covariance."""

FOUND = 0.95
BY = PGD(loss="margin", steps=60, restarts=2)


def planted(subject: Subject) -> Iterator[Finding]:
    """Plant an adversarial point near each image and look for it."""
    if not subject.threats:
        yield Finding(State.NOT_APPLICABLE, "the suite has no white-box attack of a bounded size")
        return
    threat = subject.threats[0]
    there, found = 0, 0
    for rows in torch.arange(min(len(subject.test), GROUP * GROUPS)).split(GROUP):
        images = subject.test[rows]
        readout, separable = _plant(subject, images, threat)
        # for the readout, the image itself is of class 0
        sought = Images(images.x, torch.zeros_like(images.true), images.ids)
        x_adv = attack(readout, sought, BY, threat, "planted")
        with torch.no_grad():
            hit = readout.outputs(x_adv).predicted == 1
        there += int(separable.sum())
        found += int((hit & separable).sum())
    if not there:
        yield Finding(State.NOT_APPLICABLE, "no image's features tell the ball's inside from its boundary")
        return
    yield Finding.told(found >= FOUND * there, f"{found} of {there} planted adversarial images are found")


def _plant(subject: Subject, images: Images, threat: ThreatModel) -> tuple["_Readout", Tensor]:
    """Build the readouts of a batch, and tell where they separate, (B,)."""
    norm, x = NORMS[threat.norm], images.x
    random = SampleRandom.of("inspection planted", images.ids)
    radius = threat.eps / 2
    points = [x, *(norm.perturb(x, norm.sample(x, radius, random), radius) for _ in range(INNER - 1))]
    direction = norm.steepest(random.normal(*x.shape[1:], dtype=x.dtype))
    points.append(norm.perturb(x, direction * threat.eps, threat.eps))
    features = torch.stack([subject.outputs(point).features for point in points], 1).double()
    inner, outer = features[:, :-1], features[:, -1]
    centre = inner.mean(1, keepdim=True)
    deviations = inner - centre
    gram = deviations.transpose(1, 2) @ deviations / INNER
    mean_variance = gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    ridge = SHRINK * mean_variance[:, None, None] * torch.eye(gram.shape[1], device=x.device).double()
    toward = (outer - centre.squeeze(1)).unsqueeze(2)
    weight = torch.linalg.solve(gram + ridge, toward).squeeze(2)
    weight = weight / weight.norm(dim=1, keepdim=True).clamp_min(1e-30)
    seen, most = (outer * weight).sum(1), (inner @ weight.unsqueeze(2)).squeeze(2).amax(1)
    threshold = most + BETWEEN * (seen - most)
    separable = (seen > most + 1e-6 * (1 + most.abs())) & weight.isfinite().all(1)
    return _Readout(subject.classifier, weight.float(), threshold.float()).eval(), separable


class _Readout(Classifier):
    """A classifier's features, read by another line for each image of one batch: class 1 lies beyond."""

    def __init__(self, classifier: Classifier, weight: Tensor, threshold: Tensor) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.classifier, self.weight, self.threshold = classifier, weight, threshold

    def outputs(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        features = self.classifier.outputs(x).features
        beyond = (features * self.weight).sum(1) - self.threshold
        return Outputs(x, features, torch.stack([torch.zeros_like(beyond), beyond], 1))
