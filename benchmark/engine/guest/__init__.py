"""A user's FILE.py in a process of its own: the guest answers, and everything else stays with the host.

Begin with `client` (what the engine sees: a classifier and a detector like any other), then `wire` (what goes
between the two), `server` (the guest's side), `process` (starting, asking, ending) and `nursery` (where
guests are born quickly). The host never unpickles what a guest says, nor runs any of its code.
"""
