"""Suites as people write them: a mistake is one line before anything is computed, a sad result is a page."""

from pathlib import Path

import pytest
from PIL import Image

from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.suite import load_suite

from .conftest import SUITE, Bench


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.1]", "[0.1, 0.1]", "expected every eps of attack 'fgsm' once, got 0.1 twice"),
        ("[0.1]", '[0.1, "1/10"]', "expected every eps of attack 'fgsm' once, got 0.1 twice"),
        ("[0.1]", '["8/255", 0.03137255]', "expected every eps of attack 'fgsm' once, got 0.0313725 twice"),
        ("[0.1]", "[true]", "attack fgsm: expected 'eps.0' to be a valid number, got True"),
        ("[0.1]", "0.1", "attack fgsm: expected 'eps' to be a list, got 0.1"),
        ("[0.1]", "[]", "attack fgsm: expected 'eps' to have at least 1 item, got ()"),
        ("[0.1]", "[nan]", "expected eps to be > 0, got nan"),
        (
            "[0.1]",
            '["eight"]',
            "attack fgsm: expected eps to be a number or a fraction such as \"8/255\", got 'eight'",
        ),
        (
            '"fgsm"\neps = [0.1]',
            '"pgd"\nnorm = "L2"\neps = [128]',
            (
                "expected eps of attack 'fgsm' to be at most 8 in L2, the distance of a black image of shape "
                "(1, 8, 8) from a white one, got 128; pixels lie in [0, 1]: is it in units of 1/255?"
            ),
        ),
        (
            '["digits-softmax-s0"]',
            '["nothing*"]',
            "expected models of a suite to be names, not patterns, got 'nothing*'",
        ),
        ('["digits-softmax-s0"]', '["digits-softmax-s0", "digits-softmax-s0"]', "expected every model once"),
        (
            '["digits-softmax-s0"]',
            '"digits-softmax-s0"',
            "expected 'models' to be a list, got 'digits-softmax-s0'",
        ),
        (
            '["digits-softmax-s0"]',
            "[]",
            "expected tiny-v1 to name a model, or --defense to bring one, got none",
        ),
        ("eps = [0.1]", "eps = [0.1]\nseeds = 0", "attack fgsm: expected 'seeds' to be a list, got 0"),
        (
            "eps = [0.1]",
            "eps = [0.1]\nseeds = [true]",
            "attack fgsm: expected 'seeds.0' to be a valid integer, got True",
        ),
        ('["msp"]', '["msp", "msp"]', "expected every detector once, got 'msp' twice"),
        ('["msp"]', "[]", "expected 'detectors' to have at least 1 item, got ()"),
        ('["msp"]', '["mps"]', "no detector named 'mps'; did you mean 'msp'?"),
        ("samples = 20", 'samples = "20"', "expected 'samples' to be a valid integer, got '20'"),
        ("samples = 20", "samples = true", "expected 'samples' to be a valid integer, got True"),
        ("samples = 20", "samples = 20.5", "expected 'samples' to be a valid integer, got 20.5"),
        ("samples = 20", "samples = 20\nseed = 1.5", "expected 'seed' to be a valid integer, got 1.5"),
        ("samples = 20", "samples = 20\nseeds = 1", "no key named 'seeds'; did you mean 'seed'?"),
        ("samples = 20", "samples = 20\nbatch = 0", "expected 'batch' to be greater than 0, got 0"),
        (
            'label = "fgsm"',
            'label = "fgsm"\nnrom = "L2"',
            "attack fgsm: no key named 'nrom'; did you mean 'norm'?",
        ),
        ('attack = "fgsm"', 'attack = "FGSM"', "no attack named 'FGSM'; did you mean 'fgsm'?"),
        ('attack = "fgsm"', 'attack = "deepfool"', "no attack named 'deepfool'; there are "),
        (
            'attack = "fgsm"',
            'attack = "fgsm"\noptions = 3',
            "expected 'options' to be a valid dictionary, got 3",
        ),
        (
            'attack = "fgsm"',
            'attack = "pgd"\noptions = {steps = "5"}',
            "option 'steps' of attack 'pgd' to be int, got '5'",
        ),
        ("[[attacks]]", "[attacks]", "expected attacks to be tables, each under a line [[attacks]]"),
        (
            SUITE[SUITE.index("[[") :],
            "attacks = 3\n",
            "expected attacks to be tables, each under a line [[attacks]]",
        ),
        (SUITE[SUITE.index("[[") :], "", "expected 'attacks' to have at least 1 item, got ()"),
        (
            "[[attacks]]",
            '[[attacks]]\nlabel = "fgsm"\nattack = "pgd"\neps = [0.1]\n\n[[attacks]]',
            "expected every attack's label to be its own, and none 'clean', got fgsm",
        ),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_computed(
    bench: Bench, old: str, new: str, message: str
) -> None:
    assert message in bench.refused(bench.suite(old, new))


def test_the_largest_difference_itself_is_no_mistake(bench: Bench) -> None:
    suite = bench.suite('"fgsm"\neps = [0.1]', '"pgd"\nnorm = "L2"\neps = [8]')
    assert bench.run(suite, "--dry-run")[0] == 0


def test_paths_in_a_suite_begin_at_its_file(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = bench.suite('"digits"', '"folder:imgs"')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert f"{tmp_path / 'imgs'}" in bench.refused(suite)
    bench.suite('"digits"', '"parquet:imgs"')
    assert f"{tmp_path / 'imgs'}" in bench.refused(suite)
    bench.suite('"digits"', f'"folder:{tmp_path / "other"}"')
    assert f"{tmp_path / 'other'}" in bench.refused(suite)


def test_mode_and_order_of_classes_in_a_suite(bench: Bench) -> None:
    for split in ("train", "val", "test"):
        for label in range(10):
            folder = bench.folder / "imgs" / split / str(label + 5)
            folder.mkdir(parents=True)
            for i in range(4):
                image = Image.new("L", (8, 8), 25 * label)
                (image if i else image.convert("RGB")).save(folder / f"{i}.png")
    assert 'mode = "RGB" or "L" reads all of them alike' in bench.refused(
        bench.suite('"digits"', '"folder:imgs"')
    )
    wrong = bench.suite('"digits"', '"folder:imgs"\nmode = "rgb"')
    assert bench.refused(wrong) == "tiny.toml: expected 'mode' to be 'RGB' or 'L', got 'rgb'"
    order = [str(label + 5) for label in range(10)]
    suite = bench.suite('"digits"', f'"folder:imgs"\nmode = "L"\nclasses = {order[1:]}')
    assert "an order that lacks '5'" in bench.refused(suite)
    suite = bench.suite('"digits"', f'"folder:imgs"\nmode = "L"\nclasses = {order[::-1]}')
    assert bench.run(suite, "--dry-run")[0] == 0
    read = load_suite(str(suite))
    assert read.data == f"folder:imgs?mode=L&classes={','.join(order[::-1])}"
    assert load_data(read.images, "test").class_names == tuple(order[::-1])


def test_windows_line_ends_and_names_of_folders_in_any_script(bench: Bench) -> None:
    folder = bench.folder / "Größe 大小"
    folder.mkdir()
    suite = folder / "tiny.toml"
    suite.write_bytes(SUITE.replace("\n", "\r\n").encode())
    assert bench.run(suite)[0] == 0
    assert bench.page("tiny-v1").startswith("# tiny-v1")


FAILING = """
import torch
from torch import nn
from gmbench import Classifier, Defense, load_checkpoint

class Head(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features):
        {body}

def build():
    classifier, _ = load_checkpoint("digits-softmax-s0")
    classifier.head = Head(classifier.head)
    return Defense("mine", classifier.eval())
"""

NEVER_RIGHT = "return self.head(features).roll(1, 1)"

NO_GRADIENTS = """
        if torch.is_grad_enabled():
            raise RuntimeError('no gradients here')
        return self.head(features)
"""


def defense(folder: Path, body: str) -> Path:
    path = folder / "mine.py"
    path.write_text(FAILING.format(body=body.strip()))
    return path


def test_a_suite_without_a_detector_that_applies_is_a_page(bench: Bench) -> None:
    code, said = bench.run(bench.suite('["msp"]', '["likelihood"]'))
    assert code == 0
    assert "Traceback" not in said
    assert "none applies" in bench.page("tiny-v1")
    assert "| softmax |" in bench.page("tiny-v1")


def test_a_model_that_is_never_right_is_a_page(bench: Bench) -> None:
    suite = bench.suite('["digits-softmax-s0"]', "[]")
    code, said = bench.run(suite, "--defense", defense(bench.folder, NEVER_RIGHT))
    assert code == 0
    assert "Traceback" not in said
    rows = [line for line in bench.page("tiny-v1+mine").splitlines() if line.startswith("| mine |")]
    assert any("| 0.0 |" in row for row in rows)  # its clean accuracy


def test_a_model_under_which_every_attack_failed_is_a_page(bench: Bench) -> None:
    suite = bench.suite('["digits-softmax-s0"]', "[]")
    code, said = bench.run(suite, "--defense", defense(bench.folder, NO_GRADIENTS))
    assert code == 1
    assert "Traceback" not in said
    assert "error: mine / fgsm (Linf 0.1, white-box, oblivious): RuntimeError: no gradients here" in said
    assert bench.page("tiny-v1+mine").startswith("# tiny-v1")
