"""The sample: cosmic-ray finds the places and changes them, a seed chooses.

Every place of a module is as likely as another, and each module has as many mutants as is its share of the
places: first one change each of as many places as are asked for, then a second one each, and so on.
"""

import ast
import difflib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

__all__ = ["ROOT", "Mutant", "Name", "digest", "sample"]

ROOT = Path(__file__).parents[2]
SEED = "12"


class Name(NamedTuple):
    """What survivors.toml calls a mutant by: its module and the changed line, before and after."""

    module: str
    was: str
    becomes: str

    def was_found(self) -> bool:
        """Tell whether the module still has the line."""
        return self.was in " ".join((ROOT / self.module).read_text().split())


@dataclass(frozen=True)
class Mutant:
    """A module with one change; ``code`` is all of it."""

    name: Name
    code: str

    @property
    def module(self) -> str:
        """The module's path from the root."""
        return self.name.module

    @classmethod
    def of(cls, module: str, before: str, after: str) -> Self:
        """Name the change between two versions of a module."""
        old, new = before.splitlines(), after.splitlines()
        blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        [(_, first, last, first_new, last_new)] = [block for block in blocks if block[0] != "equal"]
        gone = first_new == last_new  # a decorator: named with what it stood above
        was, becomes = old[first : last + gone], new[first_new : last_new + gone]
        return cls(Name(module, *(" ".join(" ".join(lines).split()) for lines in (was, becomes))), after)


class Change(NamedTuple):
    """What cosmic-ray can do at a place: the n-th thing in the module that an operator applies to.

    Changes are taken by their rank: which change of its place it is, then a number drawn for the place.
    """

    rank: tuple[int, str]
    operator: str
    occurrence: int


def sample(modules: Iterable[str], size: int) -> list[Mutant]:
    """Choose ``size`` mutants, or all where there are fewer."""
    changes = {module: sorted(_changes(module)) for module in modules}
    places = {module: sum(change.rank[0] == 0 for change in found) for module, found in changes.items()}
    mutants, before = [], 0
    for module, found in changes.items():
        # rounded running totals, so that the parts add up to the size
        share = [round(size * count / sum(places.values())) for count in (before, before + places[module])]
        before += places[module]
        mutants += _first(module, found, share[1] - share[0])
    return mutants


def digest(*parts: str) -> str:
    """Hash texts."""
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def _first(module: str, changes: list[Change], count: int) -> list[Mutant]:
    """Apply the first changes that give another program, each alone."""
    code, mutants = (ROOT / module).read_text(), []
    for change in changes:
        if len(mutants) == count:
            break
        mutated = mutate_code(code, get_operator(change.operator)(), change.occurrence)
        if mutated != code and _compiles(mutated):
            mutants.append(Mutant.of(module, code, mutated))
    return mutants


def _changes(module: str) -> Iterator[Change]:
    """Find what can be changed. Left out are annotations: nothing computes with them.

    A place's number hangs on its own line alone, so that an edit elsewhere leaves the sample as it is.
    """
    code = (ROOT / module).read_text()
    lines, nodes, annotations = code.splitlines(), list(ast_nodes(get_ast(code))), list(_annotations(code))
    places: defaultdict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():  # renames variables, and must be told which
            continue
        starts = (start for node in nodes for start, _ in operator().mutation_positions(node))
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in annotations):
                places[start].append((name, occurrence))
    seen: Counter[str] = Counter()
    for (row, column), found in sorted(places.items()):
        line = lines[row - 1].strip()
        indent = len(lines[row - 1]) - len(lines[row - 1].lstrip())
        seen[f"{line}{column}"] += 1
        place = SEED, module, line, str(column - indent), str(seen[f"{line}{column}"])
        ways: Counter[str] = Counter()  # an operator may have several at one place: a number +1 and -1
        drawn = []
        for name, occurrence in found:
            ways[name] += 1
            drawn.append((digest(*place, name, str(ways[name])), name, occurrence))
        for nth, (_, name, occurrence) in enumerate(sorted(drawn)):
            yield Change((nth, digest(*place)), name, occurrence)


def _annotations(code: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Tell where annotations begin and end, (line, column) each."""
    for node in ast.walk(ast.parse(code)):
        for field in ("annotation", "returns"):
            if (note := getattr(node, field, None)) is not None:
                yield (note.lineno, note.col_offset), (note.end_lineno, note.end_col_offset)


def _compiles(code: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # of `is` with a literal
            compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True
