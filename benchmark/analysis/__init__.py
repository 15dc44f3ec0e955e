"""What the numbers say: pure functions of the samples table.

May import `attacks`, `detectors` and `models` for their words; nothing here lets a model look at an image.
Begin with `model_samples` (the table, a model at a time), then `metrics`, `eer_table`, `leaderboard` and
`checks`.
"""
