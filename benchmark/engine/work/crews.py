"""Chooses who performs the pieces of a plan."""

from ..plan import Plan
from .here import Here
from .perform import Member, Place, perform

__all__ = ["in_process"]


def in_process(plan: Plan) -> Here:
    """Give the crew that is this process."""
    members = {job.entrant.fingerprint: Member(job.entrant, job.detectors) for job in plan.jobs}
    if plan.surrogate is not None:
        members.setdefault(plan.surrogate.fingerprint, Member(plan.surrogate, {}))
    place = Place(plan.device, plan.data, members.__getitem__)
    return Here(lambda piece, supply, report: perform(piece, place, supply, report))
