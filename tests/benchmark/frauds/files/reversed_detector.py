"""The largest probability as a score of suspicion: the wrong way round."""

from base import honest

from gmbench import Defense, Detector


class Reversed(Detector):
    def score(self, outputs):
        top = outputs.logits.sort(1, descending=True).values
        return -(top[:, 1:] - top[:, :1]).logsumexp(1)


def build():
    return Defense("reversed-detector", honest(), Reversed())
