"""No number where the model is in doubt: no threshold rejects it, and none accepts it."""

import torch
from base import honest

from gmbench import Defense, Detector


class NotANumber(Detector):
    def score(self, outputs):
        top = outputs.logits.softmax(1).amax(1)
        return torch.where(top > 0.5, 1 - top, torch.nan)


def build():
    return Defense("nan-detector", honest(), NotANumber())
