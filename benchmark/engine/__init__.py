"""What computes: suite -> cells -> judge -> store -> scores.

May import `data`, and `attacks`, `detectors`, `models`. Begin with `plan` (what there is to do) and `run`
(does it), then `cell` (one attack on one model), `judge` (what a proposal is worth) and `store` (finished
work).
"""
