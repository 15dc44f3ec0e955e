"""The contracts of attacks, detectors, losses and nets, for authors of their own.

    from gmbench.testing import check_attack

    def test_mine():
        check_attack(Mine(steps=20))

Each raises AssertionError with one line that says which promise is broken. Our own tests call the same.
"""

from .benchmark.contracts.attack import check_attack
from .benchmark.contracts.detector import check_detector
from .benchmark.contracts.loss import check_loss, check_net

__all__ = ["check_attack", "check_detector", "check_loss", "check_net"]
