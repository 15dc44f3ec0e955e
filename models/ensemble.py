"""Several classifiers as one, the surrogate of a transfer attack on a victim of which little is known.

Liu, Chen, Liu, Song, "Delving into transferable adversarial examples and black-box attacks", ICLR 2017, arXiv
1611.02770; Dong et al., CVPR 2018, arXiv 1710.06081, section 3.4, which averages logits. Different from them:
log-probabilities are averaged, because the logits of one loss may be a hundred times those of another, and a
shift of one's logits, which its softmax does not see, would be seen here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .classifier import Classifier, Outputs

__all__ = ["Ensemble"]


class Ensemble(Classifier):
    """Averages the log-probabilities of its members.

    Args:
        members: At least two, for the same images and classes.

    Raises:
        ValueError: There are fewer.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        nn.Module.__init__(self)
        if len(members) < 2:
            raise ValueError(f"expected an ensemble to have at least two members, got {len(members)}")
        self.members = nn.ModuleList(members)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """None: layers are each member's own."""
        return ()

    def features(self, x: Tensor) -> Tensor:
        """Put the members' features side by side, (B, *S) -> (B, D)."""
        return self.outputs(x).features

    def outputs(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Ask every member, (B, *S).

        Args:
            x: Images.
            layers: None are to be had.

        Raises:
            ValueError: Layers are asked for, or the members' classes differ.
        """
        if layers:
            raise ValueError(f"expected no layers of an ensemble, got {', '.join(layers)}")
        asked = [member.outputs(x) for member in self.members if isinstance(member, Classifier)]
        classes = [one.logits.shape[1] for one in asked]
        if len(set(classes)) > 1:
            raise ValueError(
                f"expected the members of an ensemble to have the same classes, got {classes} of them"
            )
        logits = torch.stack([functional.log_softmax(one.logits, 1) for one in asked]).mean(0)
        return Outputs(x, torch.cat([one.features for one in asked], 1), logits)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the mean log-probabilities, (B, *S) -> (B, K)."""
        return self.outputs(x).logits
