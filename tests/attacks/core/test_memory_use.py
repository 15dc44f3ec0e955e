"""How much memory an attack takes beside the bare passes, and what it does where there is less.

In processes of their own: the largest memory of a process never falls.
"""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
import torch
from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.pgd import PGD
from gmbench.models import load_checkpoint

torch.set_num_threads(1)
what, limit = sys.argv[1], int(sys.argv[2])
classifier, _ = load_checkpoint("mnist-lgm-s0")
classifier.requires_grad_(False)
x = torch.rand(600, 1, 28, 28, generator=torch.Generator().manual_seed(0))
y = torch.arange(600) % 10


def attack(images):
    random = SampleRandom.of("memory", torch.arange(len(images)))
    with Victim(classifier, len(images)) as victim:
        return PGD(steps=2)(victim, images, y[: len(images)], ThreatModel("Linf", 0.1), random=random), victim


def bare(images):
    images = images.clone().requires_grad_()
    return torch.autograd.grad(classifier(images).sum(), images)[0], None


run = attack if what == "attack" else bare
run(x[:20])  # pays for set-up
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
if limit:
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + limit * 2**20, size + limit * 2**20))
images, victim = run(x)
print(json.dumps({
    "kib": peak() - before,
    "most": victim and victim._memory.most,
    "sum": images.double().sum().item(),
}))
"""


def measure(what: str, limit: int = 0) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, what, str(limit)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_memory_is_at_most_a_third_more_than_a_bare_passs_and_less_where_there_is_less() -> None:
    bare, attack = measure("bare"), measure("attack")
    assert attack["kib"] <= 1.3 * bare["kib"]
    assert attack["most"] is None
    limited = measure("attack", limit=int(0.6 * attack["kib"] / 2**10))
    assert limited["most"] is not None
    assert limited["sum"] == pytest.approx(attack["sum"], rel=1e-6)
