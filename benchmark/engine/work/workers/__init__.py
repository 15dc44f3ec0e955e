"""Dask's workers: processes of this machine, or wherever a scheduler has them.

Begin with `cluster`, the client's side, then `worker`, theirs; `travel` says what goes from one to the other.
"""
