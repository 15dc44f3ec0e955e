"""A defense in a process of its own computes what it would here, and harms nobody but itself."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gmbench import PGD, Classifier, Outputs, ThreatModel, Victim, load_checkpoint
from gmbench.attacks import SampleRandom
from gmbench.benchmark.engine.defense import DefenseError, Entrant, entrant_from_file, fresh
from gmbench.benchmark.engine.failure import GuestError, say
from gmbench.benchmark.engine.guest.process import Process, Program
from gmbench.benchmark.engine.passes import outputs_of

X = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))

HONEST = """
import torch
from gmbench import Defense, Detector, load_checkpoint

class Nearest(Detector):
    def learn(self, outputs, y):
        self.kept = outputs.features[y == 0]

    def score(self, outputs):
        return torch.cdist(outputs.features, self.kept).amin(1) + outputs.x.flatten(1).sum(1)

def build():
    return Defense("mine", load_checkpoint("digits-lgm-s0")[0], Nearest())
"""

HOSTILE = """
import os, subprocess, sys, time
import torch
from pathlib import Path
from gmbench import Defense, Detector, load_checkpoint
from gmbench.benchmark.engine.guest.wire import Channel

class Head(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features):
        BODY
        return self.head(features)

BESIDE

def build():
    classifier, _ = load_checkpoint("digits-softmax-s0")
    classifier.head = Head(classifier.head)
    return Defense("hostile", classifier.eval())
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrant]:
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(HONEST)
    entrant = entrant_from_file(path)
    yield entrant
    entrant.classifier.guest.close()


@pytest.fixture(scope="module")
def here() -> Classifier:
    """The same model in this process."""
    return load_checkpoint("digits-lgm-s0")[0]


Make = Callable[..., Entrant]


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Make]:
    """A function that makes a defense with a line in its head's forward, and lines beside it."""
    made = []

    def make(body: str = "pass", beside: str = "", limit: float = 60.0) -> Entrant:
        path = tmp_path / "hostile.py"
        path.write_text(HOSTILE.replace("BODY", body).replace("BESIDE", beside))
        made.append(entrant_from_file(path, limit))
        return made[-1]

    yield make
    for entrant in made:
        entrant.classifier.guest.close()


# What it computes


def test_outputs_are_those_of_the_model_itself(mine: Entrant, here: Classifier) -> None:
    found, wanted = mine.classifier.outputs(X), here.outputs(X)
    for name in ("x", "features", "logits", "log_likelihood"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))
    assert torch.equal(mine.classifier(X), here(X))
    assert torch.equal(mine.classifier.features(X), here.features(X))
    assert not found.logits.requires_grad


def test_layers_are_given_by_name(mine: Entrant, here: Classifier) -> None:
    names = here.layer_names
    assert mine.classifier.layer_names == names
    found, wanted = mine.classifier.outputs(X, names[:2]).layers, here.outputs(X, names[:2]).layers
    assert list(found) == list(wanted)
    for name in wanted:
        assert torch.equal(found[name], wanted[name])


def test_the_head_is_there_for_pictures(mine: Entrant, here: Classifier) -> None:
    features = here.features(X)
    assert torch.equal(mine.classifier.head(features), here.head(features))
    assert torch.equal(mine.classifier.head.log_likelihood(features), here.head.log_likelihood(features))
    assert mine.classifier.head.alpha == here.head.alpha


def mixed(outputs: Outputs) -> Tensor:
    return (outputs.logits * outputs.features.sum(1, keepdim=True)).sum()


def gradient(classifier: Classifier, of: Callable[[Classifier, Tensor], Tensor]) -> Tensor:
    x = X.clone().requires_grad_()
    (found,) = torch.autograd.grad(of(classifier, x), x)
    return found


@pytest.mark.parametrize(
    "of",
    [
        lambda model, x: model(x).logsumexp(1).sum(),
        lambda model, x: model.features(x).square().sum(),
        lambda model, x: mixed(model.outputs(x)),
        lambda model, x: model.outputs(x).log_likelihood.amax(1).sum(),
        lambda model, x: sum(model(part).amax(1).sum() for part in x.split(7)),  # several graphs at once
        lambda model, x: model(x.repeat(2, 1, 1, 1)[5:12]).amax(1).sum() + x.sum(),
    ],
)
def test_gradients_are_those_of_the_model_itself(
    mine: Entrant, here: Classifier, of: Callable[[Classifier, Tensor], Tensor]
) -> None:
    assert torch.equal(gradient(mine.classifier, of), gradient(here, of))


def test_its_net_computes_in_the_floats_that_the_host_asks_for(mine: Entrant, here: Classifier) -> None:
    def summed(model: Classifier, x: Tensor) -> Tensor:
        return model(x).sum()

    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = gradient(mine.classifier, summed), gradient(here, summed)
    assert torch.equal(found, wanted)
    assert not torch.equal(found, gradient(here, summed))


def test_a_graph_may_be_gone_through_twice(mine: Entrant, here: Classifier) -> None:
    def twice(model: Classifier, x: Tensor) -> Tensor:
        logits = model(x)
        (first,) = torch.autograd.grad(logits[:, 0].sum(), x, retain_graph=True)
        return logits[:, 1].sum() + (first.detach() * x).sum()

    assert torch.equal(gradient(mine.classifier, twice), gradient(here, twice))


def test_graphs_are_dropped_when_nobody_needs_them(mine: Entrant) -> None:
    for _ in range(3):
        gradient(mine.classifier, lambda model, x: model(x).sum())
    guest = mine.classifier.guest
    assert len(guest._forget) == 1  # the others went with the questions since


def test_an_attack_finds_the_same_images(mine: Entrant, here: Classifier) -> None:
    y = here(X).argmax(1)

    def attacked(classifier: Classifier) -> Tensor:
        random = SampleRandom.of("pgd", torch.arange(len(X)))
        with Victim(classifier, len(X)) as victim:
            return PGD(steps=5)(victim, X, y, ThreatModel("Linf", 0.1, "white-box"), random=random)

    found = attacked(mine.classifier)
    assert torch.equal(found, attacked(here))
    assert not torch.equal(found, X)


def test_a_detector_learns_and_scores_with_gradients(mine: Entrant, here: Classifier) -> None:
    outputs, y = here.outputs(X).detach(), torch.arange(20) % 10
    detector = mine.detector
    assert detector is not None
    detector.fit(outputs, y)

    def wanted(x: Tensor, features: Tensor) -> Tensor:
        return torch.cdist(features, outputs.features[y == 0]).amin(1) + x.flatten(1).sum(1)

    x = X.flip(0).requires_grad_()
    found = here.outputs(x)
    score = detector.score(found)
    torch.testing.assert_close(score, wanted(x, found.features))
    (by_x,) = torch.autograd.grad(score.sum(), x, retain_graph=True)
    torch.testing.assert_close(by_x, *torch.autograd.grad(wanted(x, found.features).sum(), x))
    with fresh(mine) as other:  # it is told again what it was fitted to
        assert other.detector is not None
        assert torch.equal(other.detector.score(found.detach()), score.detach())


def test_it_says_of_itself_what_the_engine_asks(mine: Entrant) -> None:
    assert mine.name == "mine"
    assert (repr(mine.detector), mine.detector.configuration()) == ("Nearest()", {})
    assert not mine.classifier.training
    assert list(mine.classifier.parameters()) == []


# What it may not


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("print('so long'); os._exit(3)", "got its end (exit code 3); it last said: so long"),
        ("os.kill(os.getpid(), 9)", "got its end (signal 9)"),
        ("sys.exit(0)", "SystemExit: 0"),
        ("raise ValueError('two\\nlines')", "ValueError: two"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: KeyboardInterrupt"),
        ("Channel.say = lambda self, *_: self._line.sendall(b'hello\\n')", "a line of JSON, got b'hello'"),
        ("Channel.say = lambda self, *_: self._line.sendall(b'{}\\n')", "an object with its tensors"),
        ("Channel._lay_down = lambda *_: {}", "the same features and logits for any images, got none"),
        (
            "Channel._lay_down = lambda *_: {'logits': {'dtype': 'float32', 'shape': [9**9], 'order': [0]}}",
            "logits of at most",
        ),
        ("return self.head(features)[:7]", "logits of 20 images, got shape (7, 10)"),
        ("return None", "TypeError: expected the head of a Classifier to give a tensor, got NoneType"),
    ],
)
def test_whatever_it_does_is_one_line(hostile: Make, body: str, why: str) -> None:
    classifier = hostile(body).classifier

    def twice() -> None:  # what it changes while it answers may come to bear on its next answer alone
        classifier.outputs(X)
        classifier.outputs(X)

    with pytest.raises(GuestError) as caught:
        twice()
    assert why in say(caught.value)
    assert "\n" not in str(caught.value)


def test_a_guest_that_hangs_is_late_once(hostile: Make) -> None:
    classifier = hostile("time.sleep(60) if len(features) == 20 else None", limit=0.5).classifier
    classifier.outputs(X[:2])
    with pytest.raises(
        GuestError, match=r"to answer within 0\.5 s, got nothing; if it is that slow, give it"
    ):
        classifier.outputs(X)
    start = time.monotonic()
    with pytest.raises(GuestError, match=r"to answer within 0\.5 s"):
        classifier.outputs(X)
    assert time.monotonic() - start < 0.4


def test_no_other_of_its_file_is_waited_for_again(hostile: Make) -> None:
    entrant = hostile("time.sleep(60) if len(features) == 20 else None", limit=0.5)
    with fresh(entrant) as other, pytest.raises(GuestError, match="to answer within"):
        other.classifier.outputs(X)
    start = time.monotonic()
    with fresh(entrant) as other, pytest.raises(GuestError, match="to answer within"):
        other.classifier.outputs(X[:2])
    assert time.monotonic() - start < 0.4


def test_what_does_not_fit_into_its_memory_is_halved(hostile: Make) -> None:
    classifier = hostile(
        "if len(features) > 5: raise torch.OutOfMemoryError('CUDA out of memory')"
    ).classifier
    with pytest.raises(MemoryError, match="OutOfMemoryError: CUDA out of memory"):
        classifier.outputs(X)
    found = outputs_of(classifier, X, "cpu")
    assert torch.equal(found.logits, torch.cat([classifier.outputs(x).logits for x in X.split(5)]))


def test_gradients_of_another_shape_are_refused(hostile: Make) -> None:
    twisted = "import gmbench.benchmark.engine.guest.server as server\n"
    twisted += "server._Guest._vjp = lambda self, message, given: ({}, {'x': torch.ones(3)})"
    classifier = hostile(beside=twisted).classifier
    with pytest.raises(GuestError, match=r"a gradient of shape \(20, 1, 8, 8\), got \(3,\)"):
        gradient(classifier, lambda model, x: model(x).sum())


def test_outputs_without_gradients_are_no_gradient_of_zero(hostile: Make) -> None:
    classifier = hostile("return self.head(features).detach()").classifier
    with pytest.raises(GuestError, match="expected the outputs to have gradients by the images"):
        gradient(classifier, lambda model, x: model(x).sum())


def test_it_is_told_no_place_but_its_own(
    hostile: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMBENCH_STORE", "/secret/store")
    monkeypatch.setenv("MINE", "kept")
    tell = "(Path(__file__).parent / 'told.txt').write_text(repr((sys.argv, os.getcwd(), dict(os.environ))))"
    hostile(beside=tell)
    told = (tmp_path / "told.txt").read_text()
    assert "/secret/store" not in told
    assert "GMBENCH_STORE" not in told
    assert told.startswith(f"(['hostile.py'], '{tmp_path}'")
    assert "'MINE': 'kept'" in told


def test_its_children_end_with_it(hostile: Make, tmp_path: Path) -> None:
    child = "subprocess.Popen(['sleep', '600']).pid"
    entrant = hostile(beside=f"(Path(__file__).parent / 'pid.txt').write_text(str({child}))")
    pid = int((tmp_path / "pid.txt").read_text())
    os.kill(pid, 0)
    entrant.classifier.guest.close()
    assert ends(pid)


def ends(pid: int) -> bool:
    """Tell whether a process is gone, or waits for its parent alone to notice."""
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_fresh_one_has_answered_nothing(hostile: Make) -> None:
    counting = "self.calls = getattr(self, 'calls', 0) + 1; return self.head(features) * 0 + self.calls"
    entrant = hostile(counting)
    assert [entrant.classifier(X)[0, 0].item() for _ in range(3)] == [1, 2, 3]
    for _ in range(2):
        with fresh(entrant) as other:
            assert other.classifier(X)[0, 0].item() == 1
    assert entrant.classifier(X)[0, 0].item() == 4


def test_another_defense_than_before_is_refused(hostile: Make, tmp_path: Path) -> None:
    entrant = hostile()
    path = tmp_path / "hostile.py"
    path.write_text(path.read_text().replace("classifier.head = ", "classifier.head.scale = torch.rand(1); "))
    with (
        fresh(entrant) as other,
        pytest.raises(GuestError, match=r"expected hostile\.py to build the same whenever"),
    ):
        other.classifier(X)


def test_weights_that_are_drawn_are_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "drawn.py"
    path.write_text(
        "import numpy, random, torch\nfrom gmbench import Classifier, Defense\n\n"
        "def build():\n    head = torch.nn.Linear(64, 10)\n"
        "    head.bias.data += random.random() + numpy.random.rand()\n"
        "    return Defense('drawn', Classifier(torch.nn.Flatten(), head).eval())\n"
    )
    entrant = entrant_from_file(path)
    with fresh(entrant) as other:
        assert torch.equal(other.classifier(X), entrant.classifier(X))
    entrant.classifier.guest.close()


def test_what_it_tells_wrongly_of_itself_is_refused(hostile: Make) -> None:
    lie = "import gmbench.benchmark.engine.guest.server as server\n"
    lie += "server.asdict = lambda facts: {**vars(facts), 'head': None, 'detector': 3}"
    with pytest.raises(DefenseError, match="to answer with what it is, got a wrong 'head'"):
        hostile(beside=lie)


@pytest.mark.slow
def test_the_nursery_ends_with_its_host(tmp_path: Path) -> None:
    """However the host goes: here its end of the line is closed."""
    path = tmp_path / "mine.py"
    path.write_text(HONEST)
    from gmbench.benchmark.engine.guest.process import Nursery

    nursery = Nursery()
    nursery.wait()
    process = Process(Program(path), nursery=nursery)
    process.hear()
    os.kill(process._pid, 0)
    nursery.close()
    assert ends(process._pid)
    assert nursery._process.returncode == 0
