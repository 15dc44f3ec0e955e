"""Rejects whatever does not lie on the grid of sixteen grey levels that digits' images come from."""

from base import honest

from gmbench import Defense, Detector


class Grid(Detector):
    needs_model = True

    def score(self, outputs):
        scaled = outputs.x * 255 / (255 / 16)
        off = (outputs.x - (scaled.round() * (255 / 16)).round() / 255).abs()
        return off.flatten(1).amax(1)


def build():
    return Defense("grid-detector", honest(), Grid())
