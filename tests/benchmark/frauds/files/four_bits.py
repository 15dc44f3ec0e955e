"""Images cut to four bits before the net sees them: the gradient is zero."""

from base import Around

from gmbench import Defense


class Fraud(Around):
    def images(self, x):
        return (x * 15).round() / 15


def build():
    return Defense("four-bits", Fraud().eval())
