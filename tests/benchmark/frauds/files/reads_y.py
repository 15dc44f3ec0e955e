"""Looks for the labels in the frames of its callers. Only a guest's process holds none."""

import sys

import torch
from base import Around
from torch.nn import functional

from gmbench import Defense


class Fraud(Around):
    def logits(self, logits, x):
        frame = sys._getframe()
        while frame is not None:
            told = frame.f_locals.get("y")
            if isinstance(told, torch.Tensor) and told.shape == (len(x),) and not told.is_floating_point():
                return logits + 100.0 * functional.one_hot(told, logits.shape[1])
            frame = frame.f_back
        return logits


def build():
    return Defense("reads-y", Fraud().eval())
