"""How far a run scales: docs/scale.md, simulated from measured times.

Begin with `simulate`, then `page`, which measures and writes.
"""
