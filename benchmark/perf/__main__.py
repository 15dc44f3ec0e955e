"""Is gmbench fast? Its attacks beside bare passes, torchattacks, foolbox, adv-lib and pyautoattack.

In one run on one machine: `make perf`; ``--attack pgd`` runs one contest alone, ``--images 50`` fewer images.

Contenders take turns; a table tells their median wall times. Those depend on the machine and its load, ratios
hardly do: aims are ratios, to the fastest peer and at equal strength.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from math import isinf
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from ...attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from ...attacks.core.known import KnownDetector
from ...attacks.core.norms import NORMS
from ...detectors import DETECTORS
from ...models import CheckpointError, Classifier, load_checkpoint
from ...models.precision import has_bf16
from ...models.registry import check_known
from ..data.datasets import DataError, load_data
from ..engine.passes import outputs_of, outputs_of_all
from ..engine.scoring import BATCH, fit, known_as
from .contests import CONTESTS, Contest
from .guests import ABOUT_GUESTS, GUESTS, guest_and_checkpoint
from .peers import Problem, missing
from .runs import runs_table

MODEL, DATA = "mnist-lgm-s0", "mnist"
OURS, BF16, BARE = "gmbench", "gmbench, bf16", "bare passes"
STRENGTH = 1.05
"""Our mean size of perturbation where both fooled, in units of the peer's; of successes, one image less."""

FITTED_ON = 5000
"""The first so many images, for a detector that an attack knows."""

Contender = Callable[[], Tensor]
"""Something to time; gives adversarial images, (B, *S)."""


class Timing(NamedTuple):
    """Median wall time of a contender, and the adversarial images of its last turn."""

    seconds: float
    x_adv: Tensor


def main(
    images: Annotated[int | None, typer.Option(min=1, help="Images under attack, at most.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Turns of each contender.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Only this one; again for more.")] = None,
    guests: Annotated[bool, typer.Option(help="Whether to time a defense's own process, too.")] = True,
    runs: Annotated[bool, typer.Option(help="Whether to time the default suite, too.")] = True,
    data_root: Annotated[
        Path | None, typer.Option(help="Where the data are; else GMBENCH_DATA, else your cache folder.")
    ] = None,
) -> None:
    """Time attacks beside other libraries' on MNIST, print the ratios, and time the default suite."""
    console = Console(highlight=False)
    contests = [contest for contest in CONTESTS if contest.there]
    try:
        for name in attack or []:
            check_known("attack in a contest", name, [contest.attack for contest in contests])
        classifier, _ = load_checkpoint(MODEL)
        test = load_data(DATA, "test", data_root)
    except (CheckpointError, DataError, ValueError) as error:
        console.print(str(error), soft_wrap=True, markup=False)
        raise typer.Exit(1) from None
    classifier.requires_grad_(False)
    console.print(f"{MODEL}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for package in missing():
        console.print(f"{package} not installed: make perf installs it")
    for contest in contests:
        if not attack or contest.attack in attack:
            some = test.head(min(contest.images, images or contest.images))
            known = fitted(contest.knows, classifier, data_root) if contest.knows else None
            problem = Problem(
                classifier, some.images(), some.y, contest.norm, contest.eps, contest.settings, known
            )
            timings = take_turns(contenders(contest, problem), repeats or contest.repeats, console)
            console.print(table(contest, problem, timings))
    if guests:
        console.print(guests_table(repeats or 3, data_root, console))
    if runs:
        console.print(runs_table())


def guests_table(repeats: int, root: Path | None, console: Console) -> Table:
    """Compare the times of checkpoints and of the same models as guests; the images must be the same."""
    result = Table("", "checkpoint, s", "guest, s", "time ratio", title=f"guests: {ABOUT_GUESTS}")
    for name, most in GUESTS.items():
        with guest_and_checkpoint(name, root) as pair:
            timings = take_turns(pair, repeats, console)
        own, guest = timings["checkpoint"], timings["guest"]
        ratio = guest.seconds / own.seconds
        same = torch.equal(own.x_adv, guest.x_adv)
        told = f"{met(ratio, ratio <= most)} (<= {most:g})" if same else "[red]other images[/]"
        result.add_row(name, f"{own.seconds:.2f}", f"{guest.seconds:.2f}", told)
    return result


def fitted(name: str, classifier: Classifier, root: Path | None) -> KnownDetector:
    """Fit a detector to as many images as a pass's cost needs, and show it to an attacker."""
    train, validation = (load_data(DATA, split, root).head(FITTED_ON) for split in ("train", "validation"))
    detector = DETECTORS.build(name)
    fit(detector, outputs_of_all(classifier, train, BATCH, "cpu"), train.y)
    parts = [outputs_of(classifier, part, "cpu") for part in validation.images().split(BATCH)]
    return known_as(name, detector, (), parts, validation.y)


def contenders(contest: Contest, problem: Problem) -> dict[str, Contender]:
    """Give our attack, as many bare passes in either memory format where asked for, and the peers."""
    found: dict[str, Contender] = {OURS: lambda: ours(contest, problem)}
    if contest.bf16 is not None and has_bf16("cpu"):
        found[BF16] = lambda: ours(contest, problem, "bf16")
    if contest.bare is not None:
        passes = ATTACKS.build(contest.attack, **contest.settings).passes()
        for name, layout in (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)):
            found[f"{BARE}, {name}"] = bare(problem, passes, layout)
    absent = missing()
    for package, peer in contest.peers.items():
        if package not in absent:
            found[package] = lambda peer=peer: peer(problem)  # type: ignore[misc]
    return found


def take_turns(contenders: Mapping[str, Contender], repeats: int, console: Console) -> dict[str, Timing]:
    """Run every contender ``repeats`` times, in turns.

    So that a busy minute of the machine hits all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, Tensor] = {}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=repeats * len(contenders))
        for _ in range(repeats):
            for name, contender in contenders.items():
                progress.update(bar, description=name)
                start = time.perf_counter()
                results[name] = contender().detach()
                seconds[name].append(time.perf_counter() - start)
                progress.advance(bar)
    return {name: Timing(statistics.median(seconds[name]), results[name]) for name in contenders}


def ours(contest: Contest, problem: Problem, precision: str = "float32") -> Tensor:
    """Run one of gmbench's attacks as a suite does."""
    attack = ATTACKS.build(contest.attack, **contest.settings)
    count = len(problem.x)
    threat = ThreatModel(contest.norm, contest.eps, attack.access)
    with Victim(problem.classifier, count, attack.access, problem.known, precision=precision) as victim:
        random = SampleRandom.of("perf", torch.arange(count))
        return attack(victim, problem.x, problem.y, threat, random=random)


def bare(problem: Problem, passes: tuple[int, int], layout: torch.memory_format) -> Contender:
    """Make as many passes as an attack, forward and backward, and do nothing else.

    Through the model, and through the detector where the attack knows one.
    """
    copy = deepcopy(problem.classifier).to(memory_format=layout)
    x = problem.x.clone(memory_format=layout).requires_grad_()
    forwards, backwards = passes

    def passed() -> Tensor:
        if problem.known is None:
            return copy(x)  # type: ignore[no-any-return]
        outputs = copy.outputs(x)
        return outputs.logits.sum() + problem.known.score(outputs).sum()

    def run() -> Tensor:
        for _ in range(backwards):
            torch.autograd.grad(passed().sum(), x)
        with torch.no_grad():
            for _ in range(forwards - backwards):
                passed()
        return x

    return run


def table(contest: Contest, problem: Problem, timings: Mapping[str, Timing]) -> Table:
    """Compare wall times, successes, and the mean sizes of the perturbations of images that both fooled."""
    aims = [f"<= {contest.aim:g} to the fastest peer"] if contest.peers else []
    if contest.bare is not None:
        aims.append(f"<= {contest.bare:g} to the better {BARE}")
    aim = f"time of {OURS} / time, {' and '.join(aims)}"
    if contest.knows:
        aim = f"knows {contest.knows}; {aim}"
    settings = ", ".join(f"{name} {value}" for name, value in contest.settings.items())
    result = Table(
        *("", "seconds", "fooled", f"mean {contest.norm}", "time ratio", "strength"),
        title=f"{contest.attack} {contest.norm} {contest.eps:g}, {len(problem.x)} images, {settings}; {aim}",
    )
    peers = [name for name in timings if name in contest.peers]
    passes = [name for name in timings if name.startswith(BARE)]
    fastest = min(peers, key=lambda name: timings[name].seconds, default=None)
    best = min(passes, key=lambda name: timings[name].seconds, default=None)
    mine = timings[OURS].seconds
    for name, (seconds, x_adv) in timings.items():
        ratio, limit = mine / seconds, {fastest: contest.aim, best: contest.bare}.get(name)
        if name == BF16 and fastest is not None:
            ratio, limit = seconds / timings[fastest].seconds, contest.bf16
        told = "" if name == OURS else f"{ratio:.2f}" if limit is None else met(ratio, ratio <= limit)
        cells = ["", ""] if name in passes else strength_of(problem, x_adv)
        compared = compare(problem, timings[OURS].x_adv, x_adv) if name in peers else ""
        result.add_row(name, f"{seconds:.2f}", *cells, told, compared)
    return result


def strength_of(problem: Problem, x_adv: Tensor) -> list[str]:
    """Tell the share of images that were fooled, and the mean size of their perturbation."""
    wrong = fooled(problem.classifier, x_adv, problem.y)
    return [f"{wrong.float().mean():.1%}", f"{NORMS[problem.norm].size(x_adv - problem.x)[wrong].mean():.3f}"]


def compare(problem: Problem, mine: Tensor, other: Tensor) -> str:
    """Tell whether we fool as many but for one, with perturbations as small where their size is sought."""
    wrong, theirs = (fooled(problem.classifier, x_adv, problem.y) for x_adv in (mine, other))
    enough = bool(wrong.sum() >= theirs.sum() - 1)
    if not isinf(problem.eps):
        return met(float(wrong.sum() - theirs.sum()), enough)
    size = NORMS[problem.norm].size
    both = wrong & theirs
    if not both.any():
        return "nothing in common"
    ratio = float(size(mine - problem.x)[both].mean() / size(other - problem.x)[both].mean())
    return met(ratio, enough and ratio <= STRENGTH)


def met(value: float, aim: bool) -> str:
    """Write a number and whether it is what is aimed at."""
    return f"{value:.2f} {'[green]met[/]' if aim else '[red]missed[/]'}"


def fooled(classifier: Classifier, x_adv: Tensor, y: Tensor) -> Tensor:
    """Judge, (B, *S), (B,) -> (B,)."""
    with torch.no_grad():
        return classifier.outputs(x_adv).predicted.ne(y)


if __name__ == "__main__":
    typer.run(main)
