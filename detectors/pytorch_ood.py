"""The detectors of pytorch-ood that read features and logits, by one adapter: ``ood:NAME``.

Kirchheim, Filax, Ortmeier, "PyTorch-OOD: a library for out-of-distribution detection based on PyTorch", CVPR
workshops 2022. An extra: pip install 'gmbench[ood]'. They run as they are, with the library's settings, so
that a table of ours and one of theirs say the same. Not among them: MCM, which needs texts; weighted energy,
which needs trained weights; OpenMax, whose score of an image depends on the batch (0.4.0); those that read
feature maps, gradients or several layers of a net.
"""

import inspect
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["PytorchOOD"]

DICE_P = 0.9
"""Share of the weights that DICE sets to 0, its authors' choice for CIFAR; the library has no default."""


@dataclass
class PytorchOOD(Detector):
    """A detector of pytorch-ood.

    Attributes:
        kind: Its class there.
        needs_linear: Whether it reads the weights of a linear head; no other head will do then.
        detector_: One of that class, fitted.
    """

    kind: ClassVar[str]
    needs_linear: ClassVar[bool] = False
    differentiable: ClassVar[bool] = False  # some sort, some leave torch

    detector_: Any = field(init=False, repr=False, compare=False)

    def applies(self, outputs: Outputs) -> bool:
        if not self.needs_model:
            return True
        return isinstance(getattr(self.model, "head", None), nn.Linear if self.needs_linear else nn.Module)

    @property
    def sees_images(self) -> bool:
        return False  # of the model, the head is read

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        if broken := int((~outputs.features.isfinite().all(1)).sum()):
            raise ValueError(f"expected finite training features, got {broken} samples with NaN or infinity")
        detector = self._build(outputs.features.shape[1])
        with torch.no_grad():
            if hasattr(detector, "fit_logits"):
                detector.fit_logits(outputs.logits.detach(), y)
            else:
                detector.fit_features(outputs.features.detach(), y)
        self.detector_ = detector

    @torch.no_grad()
    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        if not len(outputs.features):
            return outputs.features.new_zeros(0)  # some take no empty batch
        if hasattr(self.detector_, "predict_logits"):
            scores: Tensor = self.detector_.predict_logits(outputs.logits)
        else:
            scores = self.detector_.predict_features(outputs.features)
        return scores.to(outputs.features)

    def _build(self, features: int) -> Any:
        """Give the constructor what it has no default for; the passes are ours, so it gets no model."""
        given: dict[str, Any] = {"model": None, "encoder": None, "p": DICE_P, "d": max(1, features // 2)}
        if self.needs_model:
            head = self.model.head
            given["head"] = head
            if isinstance(head, nn.Linear):
                bias = torch.zeros(head.out_features) if head.bias is None else head.bias
                given |= {"w": head.weight.detach(), "b": bias.detach()}
        kind = self._class()
        asked = inspect.signature(kind).parameters.values()
        named = [one for one in asked if one.kind is not one.VAR_KEYWORD]
        return kind(**{one.name: given[one.name] for one in named if one.default is one.empty})

    def _class(self) -> Any:
        try:
            import pytorch_ood.detector
        except ImportError as error:
            raise ImportError(
                f"expected pytorch-ood for its detector {self.kind}, got none; install it with: pip install "
                "'gmbench[ood]'"
            ) from error
        return getattr(pytorch_ood.detector, self.kind)


_LOGITS = {
    "energy": ("EnergyBased", "Liu et al. 2020", "arXiv 2010.03759"),
    "entropy": ("Entropy", "Chan et al. 2021", "arXiv 2012.06575"),
    "gen": ("GEN", "Liu et al. 2023", "doi:10.1109/CVPR52729.2023.02293"),
    "kl-matching": ("KLMatching", "Hendrycks et al. 2022", "arXiv 1911.11132"),
    "max-logit": ("MaxLogit", "Hendrycks et al. 2022", "arXiv 1911.11132"),
    "msp": ("MaxSoftmax", "Hendrycks, Gimpel 2017", "arXiv 1610.02136"),
    "temperature": ("TemperatureScaling", "Guo et al. 2017", "arXiv 1706.04599"),
}
_FEATURES = {
    "gmm": ("GMM", "", ""),
    "knn": ("KNN", "Sun et al. 2022", "arXiv 2204.06507"),
    "mahalanobis": ("Mahalanobis", "Lee et al. 2018", "arXiv 1807.03888"),
    "rmd": ("RMD", "Ren et al. 2021", "arXiv 2106.09022"),
}
_HEAD = {
    "lts": ("LTS", "Djurisic et al. 2025", ""),
    "nnguide": ("NNGuide", "Park et al. 2023", "arXiv 2309.14888"),
    "pnml": ("PNML", "Bibas et al. 2021", "arXiv 2110.09246"),
    "she": ("SHE", "Zhang et al. 2023", ""),
}
_LINEAR = {
    "dice": ("DICE", "Sun, Li 2022", "arXiv 2111.09805"),
    "fdbd": ("fDBD", "Liu, Qin 2024", "arXiv 2312.11536"),
    "nci": ("NCI", "Liu, Qin 2025", "arXiv 2311.01479"),
    "vim": ("ViM", "Wang et al. 2022", "arXiv 2203.10807"),
}

for _table, _needs in (
    (_LOGITS | _FEATURES, {}),
    (_HEAD, {"needs_model": True}),
    (_LINEAR, {"needs_model": True, "needs_linear": True}),
):
    for _name, (_kind, _citation, _paper) in _table.items():
        _about = About(title=f"{_kind} (pytorch-ood)", citation=_citation, paper=_paper)
        _told = {"__doc__": f"{_kind} of pytorch-ood, as it is.", "kind": _kind, "about": _about}
        DETECTORS.register(f"ood:{_name}")(type(_kind, (PytorchOOD,), {**_told, **_needs}))
