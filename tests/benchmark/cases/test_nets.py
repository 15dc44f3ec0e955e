"""Networks as people write them: they run, or one line says with the defense's name why they do not."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.known import KnownDetector
from gmbench.benchmark.engine.defense import DefenseError, check_classifier
from gmbench.models import Classifier

from .conftest import SUITE, Bench

pytestmark = pytest.mark.usefixtures("no_figures")

DEFENSE = """
import torch
from torch import nn
from gmbench import Classifier, Defense

torch.manual_seed(0)

{text}

def build():
    return Defense("mine", Classifier({net}, {head}).eval())
"""

VIEW = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 8)

    def forward(self, x):
        x = self.conv(x).relu()
        return self.fc(x.view(x.size(0), -1))
"""

MLP = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU())

    def forward(self, x):
        return {returned}
"""

AUTOCAST = MLP.format(returned="self.body(x)").replace(
    "        return", "        with torch.autocast('cpu', torch.bfloat16):\n            return"
)

ALL_ATTACKS = """
[[attacks]]
label = "pgd"
attack = "pgd"
options = { steps = 3, restarts = 2 }
eps = [0.2]

[[attacks]]
label = "cw"
attack = "cw"
norm = "L2"
options = { steps = 3, binary_steps = 1 }
eps = [inf]

[[attacks]]
label = "square"
attack = "square"
options = { queries = 5 }
access = "query"
eps = [0.2]

[[attacks]]
label = "torchattacks-pgd"
attack = "torchattacks-pgd"
options = { steps = 3 }
eps = [0.2]
"""


def written(folder: Path, text: str = "", net: str = "Net()", head: str = "nn.Linear(8, 10)") -> Path:
    path = folder / "mine.py"
    path.write_text(DEFENSE.format(text=text, net=net, head=head))
    return path


def frame(bench: Bench) -> pd.DataFrame:
    return pd.read_parquet(bench.folder / "results" / "tiny-v1+mine" / "samples.parquet")


def runs(bench: Bench, defense: Path, more: str = "") -> None:
    suite = bench.suite('["digits-softmax-s0"]', "[]", SUITE + more)
    code, said = bench.run(suite, "--defense", defense)
    assert code == 0, said
    assert "Traceback" not in said


def is_refused(bench: Bench, defense: Path, *messages: str) -> None:
    line = bench.refused(bench.suite('["digits-softmax-s0"]', "[]"), "--defense", defense)
    assert "'mine'" in line
    for message in messages:
        assert message in line


def test_a_net_that_flattens_by_a_view_meets_every_attack(bench: Bench) -> None:
    runs(bench, written(bench.folder, VIEW), ALL_ATTACKS)
    assert len(set(frame(bench)["attack"])) == 6  # with the clean images


@pytest.mark.parametrize("name", [name for name in ATTACKS if ATTACKS.build(name).access == "white-box"])
def test_a_view_changes_no_bit_of_an_attack(name: str) -> None:
    """The same net that flattens otherwise gets the same images, with its convolutions channels-last."""

    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.size(0), -1)

    def attacked(flatten: nn.Module) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            classifier = Classifier(nn.Sequential(nn.Conv2d(3, 4, 3), flatten), nn.Linear(144, 5)).eval()
        attack = ATTACKS.build(name)
        if hasattr(attack, "steps"):
            attack = replace(attack, steps=min(attack.steps, 25))
        x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        y, features = classifier(x).argmax(1), classifier.features(x).detach()
        guides = tuple(features[y == k] for k in range(5))
        energy = KnownDetector("energy", lambda outputs: -outputs.logits.logsumexp(1), 0.0, guides=guides)
        known = energy if attack.reads_score else None
        threat = ThreatModel(attack.norms[0], 0.1, knows="energy" if known else "")
        with Victim(classifier, len(x), known=known) as victim:
            return attack(victim, x, y, threat, random=SampleRandom.of("test", torch.arange(6)))

    torch.testing.assert_close(attacked(Views()), attacked(nn.Flatten()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "net", "head"),
    [
        # half precision inside, float32 outside
        (MLP.format(returned="self.body.bfloat16()(x.bfloat16())"), "Net()", "nn.Linear(8, 10)"),
        (AUTOCAST, "Net()", "nn.Linear(8, 10)"),
        # bfloat16 logits
        (
            "class Head(nn.Linear):\n    def forward(self, x):\n        return super().forward(x).bfloat16()",
            "nn.Flatten()",
            "Head(64, 10)",
        ),
    ],
    ids=["bfloat16", "autocast", "logits"],
)
def test_less_precision_inside_runs(bench: Bench, text: str, net: str, head: str) -> None:
    runs(bench, written(bench.folder, text, net, head))
    attacked = frame(bench).query("backwards > 0")
    assert (attacked["zeros"] < attacked["backwards"]).any()  # its gradients arrive


@pytest.mark.parametrize("kind", ["half", "bfloat16"])
def test_parameters_of_less_precision_are_one_line(bench: Bench, kind: str) -> None:
    is_refused(bench, written(bench.folder, MLP.format(returned="self.body(x)"), f"Net().{kind}()"), "dtype")


@pytest.mark.parametrize("kind", ["half", "bfloat16"])
def test_another_s_model_of_less_precision_runs(bench: Bench, kind: str) -> None:
    (bench.folder / "net.py").write_text(
        f"from torch import nn\ndef Net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).{kind}()"
    )
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.save(getattr(net, kind)().state_dict(), bench.folder / "net.pth")
    suite = bench.suite('["digits-softmax-s0"]', "[]")
    code, said = bench.run(
        suite, "--defense", f"{bench.folder / 'net.py'}:Net@{bench.folder / 'net.pth'}", command="run"
    )
    assert code == 0, said


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        ("{'logits': self.body(x)}", "dict"),
        ("(self.body(x), x)", "tuple"),
        ("[self.body(x)]", "list"),
        ("None", "NoneType"),
    ],
)
@pytest.mark.parametrize("part", ["net", "head"])
def test_outputs_that_are_no_tensor_are_one_line(bench: Bench, returned: str, kind: str, part: str) -> None:
    if part == "net":
        defense = written(bench.folder, MLP.format(returned=returned))
    else:
        defense = written(bench.folder, MLP.format(returned=returned), "nn.Identity()", "Net()")
    is_refused(bench, defense, f"the {part} of a Classifier to give a tensor, got {kind}", "gmbench.wrap")


@pytest.mark.parametrize(
    ("returned", "kind"), [("{'logits': self.body(x)}", "dict"), ("(self.body(x), x)", "tuple")]
)
def test_another_s_outputs_that_are_no_tensor_are_one_line(bench: Bench, returned: str, kind: str) -> None:
    text = "from torch import nn\n" + MLP.format(returned=returned)
    (bench.folder / "net.py").write_text(text)
    own: dict[str, type[nn.Module]] = {}
    exec(text, own)
    torch.save(own["Net"]().state_dict(), bench.folder / "net.pth")
    name = f"{bench.folder / 'net.py'}:Net@{bench.folder / 'net.pth'}"
    line = bench.refused(bench.suite(), "--defense", name)
    assert name in line
    assert f"got {kind}; return its logits alone, or wrap it: gmbench.wrap" in line


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("assert x.shape[2] == 224, 'Wrong image height'", "Wrong image height"),
        ("assert x.shape[2] == 224", "AssertionError"),
        ("raise NotImplementedError('no\\nsuch size')", "no"),
        ("assert len(x) > 1, 'no batch of one'", "no batch of one"),
        ("{}['a']", "'a'"),
        ("1 / 0", "division by zero"),
        ("import nowhere", "No module named 'nowhere'"),
    ],
)
def test_whatever_a_forward_raises_is_one_line_with_the_name(
    bench: Bench, statement: str, message: str
) -> None:
    text = MLP.format(returned="self.body(x)").replace(
        "        return", f"        {statement}\n        return"
    )
    is_refused(bench, written(bench.folder, text), "fails on images of shape (1, 8, 8): ", message)


QUANTISED = """
import warnings
warnings.simplefilter("ignore")

def Net():
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()).eval()
    return torch.ao.quantization.quantize_dynamic(body, {nn.Linear}, torch.qint8)
"""


def test_a_quantised_net_is_attacked_where_no_gradient_is_needed(bench: Bench) -> None:
    suite = bench.suite('["digits-softmax-s0"]', "[]", SUITE + ALL_ATTACKS)
    code, said = bench.run(suite, "--defense", written(bench.folder, QUANTISED))
    assert code == 1
    assert "Traceback" not in said
    assert "error: mine / fgsm (Linf 0.1, white-box, oblivious): RuntimeError: " in said
    assert set(frame(bench)["attack"]) == {"clean", "square"}


class Plain(nn.Module):
    """Ten logits of nine pixels, and what must not depend on the rest of a batch."""

    def __init__(self, *layers: nn.Module, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(9, 9), *layers)
        self.fc = nn.Linear(9, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))  # type: ignore[no-any-return]


IMAGES = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))


class OfTheBatch(nn.BatchNorm1d):
    """Normalises by the batch also in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Plain(nn.Dropout(0.5)).train(), "training mode; call classifier.eval"),
        (Plain(OfTheBatch(9)).eval(), "depend on its own image alone|fails on images"),
    ],
    ids=["dropout", "batch norm of the batch"],
)
def test_what_depends_on_chance_or_company_is_one_line(net: nn.Module, message: str) -> None:
    classifier = Classifier(net, nn.Identity())
    for module in classifier.children():
        module.training = net.training
    classifier.training = net.training
    with pytest.raises(DefenseError, match=message) as caught:
        check_classifier("mine", classifier, IMAGES, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "net",
    [
        Plain(),
        nn.DataParallel(Plain()),
        torch.compile(Plain(), backend="eager"),
        Plain().to(memory_format=torch.channels_last),
    ],
    ids=["plain", "parallel", "compiled", "channels-last"],
)
@pytest.mark.filterwarnings("ignore")  # torch.compile looks at .grad
def test_what_works_goes_on_working(net: nn.Module) -> None:
    classifier = Classifier(net, nn.Identity()).eval()
    check_classifier("mine", classifier, IMAGES, 10)
    with Victim(classifier, len(IMAGES)) as victim:
        proposed = ATTACKS.build("pgd", steps=2)(
            victim,
            IMAGES,
            torch.zeros(4, dtype=torch.int64),
            ThreatModel("Linf", 0.1),
            random=SampleRandom.of("test", torch.arange(4)),
        )
    assert proposed.shape == IMAGES.shape


def test_two_classes_and_oblong_images() -> None:
    x = torch.rand(4, 1, 3, 7, generator=torch.Generator().manual_seed(0))
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(21, 4)), nn.Linear(4, 2)).eval()
    check_classifier("mine", classifier, x, 2)
    with Victim(classifier, 4) as victim:
        moved = ATTACKS.build("cw", steps=2, binary_steps=1)(
            victim,
            x,
            classifier(x).argmax(1),
            ThreatModel("L2", float("inf")),
            random=SampleRandom.of("test", torch.arange(4)),
        )
    assert moved.shape == x.shape
