"""The right logits, and no gradient."""

from base import Around

from gmbench import Defense


class Fraud(Around):
    def logits(self, logits, x):
        return logits.detach() + 0 * x.flatten(1).sum(1, keepdim=True)


def build():
    return Defense("zeroed-gradients", Fraud().eval())
