"""How many processors this process may use."""

import os

__all__ = ["processors"]


def processors() -> int:
    """Count those that the system leaves to this process; all that there are where it does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
