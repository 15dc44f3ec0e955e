"""Is gmbench fast? PGD and CW beside a bare loop of passes, torchattacks, foolbox and adv-lib.

In one run on one machine: `make perf`.

Contenders take turns; a table tells their median wall times. Those depend on the machine and its load, ratios
hardly do: aims are ratios.
"""

import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from ...attacks import Attack, SampleRandom, ThreatModel, Victim
from ...attacks.core.norms import NORMS
from ...attacks.cw import CW
from ...attacks.pgd import PGD
from ...models import CheckpointError, Classifier, load_checkpoint
from ..data.datasets import DataError, load_data
from .perf_runs import runs_table

__all__ = ["main"]

MODEL, DATA = "mnist-lgm-s0", "mnist"
STEPS, EPS = 40, 0.3  # of every PGD: Madry et al. on MNIST
STEP = 2.5 * EPS / STEPS
SEARCHES, CW_STEPS = 5, 100  # of the other libraries' CW
PACKAGES = {"torchattacks": "torchattacks", "foolbox": "foolbox", "adv-lib": "adv_lib"}
OURS, BARE = "gmbench", "bare loop"

Contender = Callable[[], Tensor]
"""Something to time; gives adversarial images, (B, *S)."""


class Timing(NamedTuple):
    """Median wall time of a contender, and the adversarial images of its last turn."""

    seconds: float
    x_adv: Tensor


def main(
    images: Annotated[int, typer.Option(min=1, help="Images under attack, in one batch.")] = 200,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each PGD, seconds each.")] = 5,
    cw_repeats: Annotated[int, typer.Option(min=1, help="Turns of each CW, minutes each.")] = 1,
    data_root: Annotated[
        Path | None, typer.Option(help="Where the data are; else GMBENCH_DATA, else your cache folder.")
    ] = None,
) -> None:
    """Time PGD and CW beside other libraries' on MNIST, print the ratios, and time the default suite."""
    console = Console(highlight=False)
    try:
        classifier, _ = load_checkpoint(MODEL)
        test = load_data(DATA, "test", data_root).head(images)
    except (CheckpointError, DataError) as error:
        console.print(str(error), soft_wrap=True, markup=False)
        raise typer.Exit(1) from None
    classifier.requires_grad_(False)
    x, y = test.images(), test.y
    console.print(
        f"{MODEL}, {len(x)} test images in one batch, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}"
    )
    for package, module in PACKAGES.items():
        if find_spec(module) is None:
            console.print(f"{package} not installed: make perf installs it")
    console.print(pgd_table(take_turns(pgd_contenders(classifier, x, y), repeats, console), classifier, y))
    console.print(
        cw_table(take_turns(cw_contenders(classifier, x, y), cw_repeats, console), classifier, x, y)
    )
    console.print(runs_table())


def take_turns(contenders: dict[str, Contender], repeats: int, console: Console) -> dict[str, Timing]:
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


def pgd_contenders(classifier: Classifier, x: Tensor, y: Tensor) -> dict[str, Contender]:
    """Give gmbench's PGD, as many bare passes in either memory format, and the other libraries' PGD."""
    contenders = {
        OURS: native(PGD(steps=STEPS), classifier, x, y, ThreatModel("Linf", EPS)),
        f"{BARE}, contiguous": bare_loop(classifier, x, torch.contiguous_format),
        f"{BARE}, channels last": bare_loop(classifier, x, torch.channels_last),
    }
    if find_spec("torchattacks"):
        import torchattacks

        contenders["torchattacks"] = lambda: torchattacks.PGD(classifier, eps=EPS, alpha=STEP, steps=STEPS)(
            x, y
        )
    if find_spec("foolbox"):
        import foolbox

        model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
        pgd = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS)
        contenders["foolbox"] = lambda: pgd(model, x, y, epsilons=EPS)[1]
    return contenders


def cw_contenders(classifier: Classifier, x: Tensor, y: Tensor) -> dict[str, Contender]:
    """Give gmbench's CW and the other libraries'."""
    contenders = {OURS: native(CW(), classifier, x, y, ThreatModel("L2", inf))}
    if find_spec("foolbox"):
        import foolbox

        model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
        cw = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=SEARCHES, steps=CW_STEPS)
        contenders["foolbox"] = lambda: cw(model, x, y, epsilons=None)[1]
    if find_spec("adv_lib"):
        from adv_lib.attacks import carlini_wagner_l2

        contenders["adv-lib"] = lambda: carlini_wagner_l2(
            classifier, x, y, binary_search_steps=SEARCHES, max_iterations=CW_STEPS
        )
    return contenders


def native(attack: Attack, classifier: Classifier, x: Tensor, y: Tensor, threat: ThreatModel) -> Contender:
    """Run one of gmbench's attacks as a suite does."""

    def run() -> Tensor:
        with Victim(classifier, samples=len(x)) as victim:
            return attack(victim, x, y, threat, random=SampleRandom.of("perf", torch.arange(len(x))))

    return run


def bare_loop(classifier: Classifier, x: Tensor, memory_format: torch.memory_format) -> Contender:
    """Make PGD's forward and backward passes and do nothing else."""
    copy = deepcopy(classifier).to(memory_format=memory_format)
    x = x.clone(memory_format=memory_format).requires_grad_()

    def run() -> Tensor:
        for _ in range(STEPS):
            torch.autograd.grad(copy(x).sum(), x)
        with torch.no_grad():
            copy(x)
        return x

    return run


def pgd_table(timings: dict[str, Timing], classifier: Classifier, y: Tensor) -> Table:
    """Compare wall times; of the bare loops the better one counts."""
    title = f"PGD, Linf {EPS}, {STEPS} steps; ratio: time of {OURS} / time"
    table = Table(
        "", "seconds", "success", f"ratio (<= 1.05 to the better {BARE}, < 1 to a library)", title=title
    )
    best = min((name for name in timings if name.startswith(BARE)), key=lambda name: timings[name].seconds)
    for name, (seconds, x_adv) in timings.items():
        cells = [
            name,
            f"{seconds:.2f}",
            "" if name.startswith(BARE) else f"{fooled(classifier, x_adv, y).float().mean():.1%}",
        ]
        ratio = timings[OURS].seconds / seconds
        if name == best:
            cells.append(met(ratio, ratio <= 1.05))
        elif name.startswith(BARE):
            cells.append(f"{ratio:.2f}")
        elif name != OURS:
            cells.append(met(ratio, ratio < 1))
        table.add_row(*cells)
    return table


def cw_table(timings: dict[str, Timing], classifier: Classifier, x: Tensor, y: Tensor) -> Table:
    """Compare wall times, successes, and the mean norms of the images that both fooled."""
    title = f"CW, smallest L2; ratios: time of {OURS} / time, its mean L2 / mean L2 where both fooled"
    table = Table(
        "",
        "seconds",
        "success",
        "mean L2",
        "time ratio (<= 0.5)",
        "L2 ratio (<= 1.05), fooling as many",
        title=title,
    )
    fools = {name: fooled(classifier, timing.x_adv, y) for name, timing in timings.items()}
    for name, (seconds, x_adv) in timings.items():
        size, our_size = (NORMS["L2"].size(images - x) for images in (x_adv, timings[OURS].x_adv))
        cells = [
            name,
            f"{seconds:.1f}",
            f"{fools[name].float().mean():.1%}",
            f"{size[fools[name]].mean():.3f}",
        ]
        if name != OURS:
            both = fools[name] & fools[OURS]
            as_many = bool(fools[OURS].sum() >= fools[name].sum())
            time_ratio, size_ratio = (
                timings[OURS].seconds / seconds,
                float(our_size[both].mean() / size[both].mean()),
            )
            cells += [met(time_ratio, time_ratio <= 0.5), met(size_ratio, size_ratio <= 1.05 and as_many)]
        table.add_row(*cells)
    return table


def met(ratio: float, aim: bool) -> str:
    """Write a ratio and whether it is what is aimed at."""
    return f"{ratio:.2f} {'[green]met[/]' if aim else '[red]missed[/]'}"


def fooled(classifier: Classifier, x_adv: Tensor, y: Tensor) -> Tensor:
    """Judge, (B, *S), (B,) -> (B,)."""
    with torch.no_grad():
        return classifier.outputs(x_adv).predicted.ne(y)


if __name__ == "__main__":
    typer.run(main)
