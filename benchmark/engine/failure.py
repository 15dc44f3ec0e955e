"""What went wrong with one model while all others went on."""

from dataclasses import dataclass

__all__ = ["Failure", "GuestError", "say"]


class GuestError(RuntimeError):
    """What went wrong in the process of a user's defense, in one line that says all."""


@dataclass(frozen=True)
class Failure:
    """A model, cell, detector or page of a model that there is no result of, and why.

    Args:
        model: Whose.
        what: A cell, "detector kde", "features"; "" where the whole model could not be had.
        why: In one line.
    """

    model: str
    what: str
    why: str

    def covers(self, other: "Failure") -> bool:
        """Tell whether the other one follows from this: a detector that failed lacks scores of every cell."""
        rest = other.what.removeprefix(self.what)
        return self.model == other.model and (rest == "" or (rest != other.what and rest[0] in ", "))

    def __str__(self) -> str:
        return f"{self.model} / {self.what}: {self.why}" if self.what else f"{self.model}: {self.why}"


def say(error: BaseException) -> str:
    """Say an error of somebody's code in a line."""
    told = str(error) if isinstance(error, GuestError) else f"{type(error).__name__}: {error}"
    return " ".join(told.split())
