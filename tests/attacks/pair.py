"""Images of two pixels, so few that every image on the grid can be tried: the exact answer to an attack."""

import torch
from torch import Tensor, nn

from gmbench.attacks import ThreatModel
from gmbench.attacks.core.grid import LEVELS
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.core.norms import NORMS
from gmbench.benchmark.contracts.problems import AnyShape, Scaled
from gmbench.models import Classifier
from gmbench.models.heads.lgm import LGM


class Pair:
    """Images of two pixels and the exact answer to an attack on their detector.

    Three classes with means on a triangle, features that are the pixels; the detector scores half the squared
    distance to the predicted class's centre, which lies off its mean.
    """

    def __init__(self) -> None:
        self.classifier = AnyShape(Scaled(1.0), LGM(2, 3)).double().eval()
        with torch.no_grad():
            self.classifier.get_parameter("head.means").copy_(
                torch.tensor([[0.2, 0.2], [0.8, 0.3], [0.4, 0.9]])
            )
        centres = torch.tensor([[0.15, 0.3], [0.85, 0.1], [0.3, 0.8]], dtype=torch.float64)
        self.known = KnownDetector(
            "centre",
            lambda outputs: (outputs.features - centres[outputs.predicted]).square().sum(1) / 2,
            threshold=0.02,
            scale=0.01,
            guides=tuple(centres.unsqueeze(1)),
        )
        generator = torch.Generator().manual_seed(3)
        self.x = torch.randint(256, (12, 2), generator=generator).double() / LEVELS
        self.y = self.classifier(self.x).argmax(1)

    @property
    def flat(self) -> Classifier:
        """The classifier of the same images as (B, 1, 1, 2)."""
        return Classifier(nn.Flatten(), self.classifier.head).double().eval()

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give predictions and scores."""
        with torch.no_grad():
            outputs = self.classifier.outputs(x)
            return outputs.predicted, self.known.score(outputs)

    def lowest(self, threat: ThreatModel) -> Tensor:
        """Try every image of the grid, and give the lowest score of a wrong one in each image's ball."""
        every, predicted, scores = self._every()
        found = []
        for x, y in zip(self.x, self.y, strict=True):
            allowed = (NORMS[threat.norm].size(every - x) <= threat.eps + 1e-9) & (predicted != y)
            found.append(torch.where(allowed, scores, torch.inf).amin())
        return torch.stack(found)

    def smallest(self) -> Tensor:
        """Try every image of the grid, and give the L2 distance of the nearest that is wrong and accepted."""
        every, predicted, scores = self._every()
        distance = torch.cdist(self.x, every)
        evades = (predicted != self.y.unsqueeze(1)) & (scores <= self.known.threshold)
        return torch.where(evades, distance, torch.inf).amin(1)

    def _every(self) -> tuple[Tensor, Tensor, Tensor]:
        every = torch.cartesian_prod(*[torch.arange(256, dtype=torch.float64) / LEVELS] * 2)
        return every, *self.outputs(every)
