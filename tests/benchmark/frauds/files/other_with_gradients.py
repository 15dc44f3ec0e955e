"""Another net's logits as soon as gradients are on."""

import torch
from base import Around

from gmbench import Defense


class Fraud(Around):
    def logits(self, logits, x):
        return logits.flip(1) if torch.is_grad_enabled() and x.requires_grad else logits


def build():
    return Defense("other-with-gradients", Fraud().eval())
