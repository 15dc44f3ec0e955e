"""What the samples cannot tell of a model: checks that look at the model itself.

Begin with `inspect`, which computes all of one entrant as an entry of the store, beside its cells; each other
module is one question put to the model. `finding` is what an answer is; `benchmark.analysis.checks` judges
the answers, and says what each check means and what to try.
"""
