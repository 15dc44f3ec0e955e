"""What every attack, detector, loss and net must keep to, as functions that raise AssertionError in one line.

May import `attacks`, `detectors` and `models`. Our own contract tests call them, and ``gmbench.testing``
gives them to authors of others. Begin with `attack`; `problems` has the small models that it tries attacks
on.
"""
