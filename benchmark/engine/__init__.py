"""What computes: suite -> cells -> judge -> store -> scores.

May import `data`, and `attacks`, `detectors`, `models`. Begin with `run`, which goes through a suite from top
to bottom, then `cell` (one attack on one model), `judge` (what a proposal is worth) and `store` (finished
work).
"""
