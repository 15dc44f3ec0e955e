"""What all planted frauds stand on: softmax on digits as published, and a classifier around another one."""

from torch import Tensor, nn

from gmbench import Classifier, Outputs, load_checkpoint

HONEST = "digits-softmax-s0"


def honest() -> Classifier:
    """Load the model underneath."""
    return load_checkpoint(HONEST)[0]


class Around(Classifier):
    """Another classifier whose images and logits a fraud may change."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Identity())
        self.inner = honest()

    def images(self, x: Tensor) -> Tensor:
        return x

    def logits(self, logits: Tensor, x: Tensor) -> Tensor:
        return logits

    def features(self, x: Tensor) -> Tensor:
        return self.inner.outputs(self.images(x)).features

    def outputs(self, x: Tensor, layers: object = ()) -> Outputs:
        found = self.inner.outputs(self.images(x))
        return Outputs(x, found.features, self.logits(found.logits, x))

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x).logits
