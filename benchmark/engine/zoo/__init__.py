"""The zoo of checkpoints: which belong to it, trained, measured and verified.

Begin with `checkpoints`, then `training`, which makes one.
"""
