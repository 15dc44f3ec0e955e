"""Images resized at random and padded (Xie et al. 2018)."""

import torch
from base import Around
from torch.nn import functional

from gmbench import Defense


class Fraud(Around):
    def images(self, x):
        size = int(torch.randint(6, 9, ()))
        small = functional.interpolate(x, size, mode="bilinear")
        left, top = (int(torch.randint(0, 9 - size, ())) for _ in range(2))
        return functional.pad(small, (left, 8 - size - left, top, 8 - size - top))


def build():
    return Defense("random-resize", Fraud().eval())
