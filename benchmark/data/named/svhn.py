"""SVHN, cropped digits: Netzer et al., "Reading digits in natural images ...", 2011.

Files and layout are torchvision's (``ROOT/train_32x32.mat``); the extra images are not used. Label 10 is the
digit 0.
"""

import io
from pathlib import Path

from scipy.io import loadmat

from ..image_set import ImageSet
from .official import official_split
from .verified import VerifiedFile

__all__ = ["Svhn"]


MD5 = {"train": "e26dedcc434d2e4c54c9b2d4a06d8373", "test": "eb5a983be6a315427106f1b164d9cef3"}


class Svhn:
    """SVHN: colour photographs of house numbers' digits, 32 x 32; 68 257 / 5 000 / 26 032."""

    def load(self, split: str, root: Path) -> ImageSet:
        part = "test" if split == "test" else "train"
        table = loadmat(io.BytesIO(self._file(part).read(root)))
        x = table["X"].transpose(3, 2, 0, 1)
        return official_split("svhn", split, x, table["y"].reshape(-1) % 10, tuple(map(str, range(10))))

    def fetch(self, root: Path) -> Path:
        for part in MD5:
            self._file(part).fetch(root, lambda part=part: self._urls(part))  # type: ignore[misc]
        return root

    def _file(self, part: str) -> VerifiedFile:
        return VerifiedFile("SVHN", "svhn", f"{part}_32x32.mat", MD5[part])

    @staticmethod
    def _urls(part: str) -> list[str]:
        from torchvision.datasets import SVHN

        return [SVHN.split_list[part][0]]
