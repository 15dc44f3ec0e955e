"""Every attack on a GPU: the same promises as on a CPU, and the same robust accuracy within chance.

One line per attack, in under a minute, without a network: ``pytest -m gpu -s tests/attacks/test_gpu.py``. On
a machine without a GPU all of it is skipped.
"""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.norms import NORMS
from gmbench.attacks.pgd import PGD
from gmbench.benchmark.contracts.attack import EPS, propose
from gmbench.benchmark.contracts.problems import build_conv
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.judge import judge
from gmbench.models import Classifier, load_checkpoint
from gmbench.models.precision import full_float32, has_bf16

from .test_contracts import CASES, SLOW, Case

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]

FIRST = [case for case in CASES if not case.options]
"""Each attack in each of its norms."""

QUICK = [case for case in FIRST if case.name not in SLOW]
"""Without those whose thousands of passes take a minute, on a GPU too."""

HALF = {"Linf": 0.08, "L2": 0.6}
"""At which attacks leave some images of the digits right, and some not."""

IMAGES = 100

Say = Callable[[str], None]


@pytest.fixture
def say(pytestconfig: pytest.Config) -> Say:
    """Writes a line to the terminal, whatever is captured."""
    return pytestconfig.get_terminal_writer().line


@pytest.fixture(scope="module")
def digits() -> tuple[Classifier, Tensor, Tensor]:
    classifier, _ = load_checkpoint("digits-lgm-s0")
    test = load_data("digits", "test").head(IMAGES)
    return classifier, test.images(), test.y


def on_gpu(classifier: Classifier, *tensors: Tensor) -> tuple[Classifier, list[Tensor]]:
    return classifier.to("cuda"), [tensor.to("cuda") for tensor in tensors]


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_promises_hold_on_a_gpu(case: Case) -> None:
    classifier, images, classes = build_conv(4)
    images = (images * 255).round() / 255  # where clean images lie
    classifier, [x, y, ids] = on_gpu(classifier, images, classes, torch.tensor([5, 2, 77, 0]))
    attack, given = case.build(), x.clone()
    whole = propose(attack, case.norm, classifier, x, y, ids=ids)
    assert x.equal(given)
    assert (whole.device, whole.dtype, whole.shape) == (x.device, x.dtype, x.shape)
    assert 0 <= whole.min() <= whole.max() <= 1
    assert NORMS[case.norm].size(whole - x).max() <= EPS[case.norm] + 1e-6
    if case.batch_independent:
        parts = [
            propose(attack, case.norm, classifier, x[rows], y[rows], ids=ids[rows])
            for rows in (slice(1), slice(1, 4))
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_robust_accuracy_is_a_cpus_within_chance(
    case: Case, digits: tuple[Classifier, Tensor, Tensor], say: Say
) -> None:
    classifier, images, classes = digits
    attack, eps = case.build(), HALF[case.norm]
    threat = ThreatModel(case.norm, eps, access=case.access)
    left, seconds = {}, {}
    for device in ("cpu", "cuda"):
        x, y, ids = images.to(device), classes.to(device), torch.arange(IMAGES, device=device)
        start = time.perf_counter()
        x_adv = propose(attack, case.norm, classifier.to(device), x, y, eps, ids)
        seconds[device] = time.perf_counter() - start
        table = judge(classifier, x, x_adv, y, threat)
        left[device] = (table["clean_predicted"] == table["label"]) & ~table["success"]
    classifier.cpu()
    told = ", ".join(f"{device} {left[device].mean():.1%} in {seconds[device]:.2f} s" for device in left)
    say(f"{case}: robust accuracy at {threat.size} {told}")
    # the same random numbers: images differ by rounding alone, of which a long search makes other paths
    apart = int((left["cpu"] != left["cuda"]).sum())
    assert apart <= 0.2 * IMAGES
    assert abs(int(left["cpu"].sum()) - int(left["cuda"].sum())) <= 1 + 3 * apart**0.5


@pytest.mark.parametrize("norm", list(HALF))
def test_gradients_in_bf16_find_what_float32s_find(
    norm: str, digits: tuple[Classifier, Tensor, Tensor], say: Say
) -> None:
    if not has_bf16("cuda"):
        pytest.skip("this GPU has no bf16")
    classifier, [x, y] = on_gpu(digits[0], *digits[1:])
    threat, right = ThreatModel(norm, HALF[norm]), {}
    for precision in ("float32", "bf16"):
        random = SampleRandom.of("gpu", torch.arange(IMAGES, device="cuda"))
        with Victim(classifier, IMAGES, precision=precision) as victim:
            x_adv = PGD(steps=20)(victim, x, y, threat, random=random)
        right[precision] = float(1 - judge(classifier, x, x_adv, y, threat)["success"].mean())
    classifier.cpu()
    say(f"pgd-{norm} in bf16: left {right['bf16']:.1%}, in float32 {right['float32']:.1%}")
    assert abs(right["bf16"] - right["float32"]) <= 0.03


def test_float32_is_float32(say: Say) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, 64, 16, 16, generator=generator)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    exact = nn.functional.conv2d(x.double(), weight.double())

    def error() -> float:
        found = nn.functional.conv2d(x.cuda(), weight.cuda()).double().cpu()
        return float((found - exact).abs().max() / exact.abs().max())

    outside = error()
    with full_float32():
        inside = error()
    say(f"relative error of a convolution: {outside:.1e} by torch's default, {inside:.1e} in full float32")
    assert inside < 1e-5


def test_a_batch_that_does_not_fit_is_cut(say: Say) -> None:
    """With a gigabyte to spare, where the whole batch would take five."""
    classifier, _ = load_checkpoint("mnist-lgm-s0")
    count = 6000
    images = torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    classifier, [x, y] = on_gpu(classifier, images, torch.arange(count) % 10)
    classifier.requires_grad_(False)

    def run() -> tuple[Tensor, Victim]:
        random = SampleRandom.of("gpu", torch.arange(count, device="cuda"))
        with Victim(classifier, count) as victim:
            return PGD(steps=2)(victim, x, y, ThreatModel("Linf", 0.1), random=random), victim

    whole, victim = run()
    assert victim._memory.most is None
    torch.cuda.empty_cache()
    spare = torch.cuda.memory_reserved() + 2**30
    torch.cuda.set_per_process_memory_fraction(spare / torch.cuda.get_device_properties(0).total_memory)
    try:
        pieces, victim = run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert victim._memory.most is not None
    say(f"out of memory: {count} images in pieces of {victim._memory.most}")
    with torch.no_grad():
        one, other = (classifier(found[:1000]).argmax(1) for found in (whole, pieces))
    assert (one != other).float().mean() <= 0.01
    # a kernel rounds otherwise in another batch; where a gradient's sign hangs on that, two steps part
    assert ((whole - pieces).abs() > 1e-6).float().mean() < 0.02
