"""Finds nothing suspicious, ever."""

from base import honest

from gmbench import Defense, Detector


class Constant(Detector):
    def score(self, outputs):
        return outputs.logits.new_zeros(len(outputs.logits))


def build():
    return Defense("constant-detector", honest(), Constant())
