"""Logits times a thousand: cross-entropy's gradients vanish."""

from base import Around

from gmbench import Defense


class Fraud(Around):
    def logits(self, logits, x):
        return logits * 1e3


def build():
    return Defense("logits-1e3", Fraud().eval())
