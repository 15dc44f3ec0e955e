"""How a run speaks: to people at a terminal, to a log, to programs, or hardly at all.

Begin with `teller`.
"""
