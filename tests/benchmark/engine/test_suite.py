"""Suites are checked before anything is computed; every mistake is one line with the way out."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from gmbench.attacks import ThreatModel
from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.defense import Entrant, entrant_of_suite
from gmbench.benchmark.engine.suite import SuiteError, load_suite, narrow, plan_cells, suites
from gmbench.detectors.energy import Energy
from gmbench.models.checkpoint import read_card

GOOD = """
name = "mine-v1"
data = "digits"
samples = 20
models = ["digits-lgm-s0", "digits-softmax-s0"]
detectors = ["msp", "energy"]
surrogate = "digits-surrogate-s0"

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1, 0.2]

[[attacks]]
label = "cw"
attack = "cw"
norm = "L2"
eps = [inf]
seeds = [0, 2]
"""


IMAGES = ImageSet.of(
    "made", "test", torch.zeros(1000, 1, 1, 1, dtype=torch.uint8), *torch.zeros(2, 1000).long(), 10
)


def write(folder: Path, old: str = "", new: str = "") -> str:
    path = folder / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    return str(path)


def test_a_good_one(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path))
    assert suite.batch == 250
    assert [str(threat) for threat in suite.attacks[0].threats()] == [
        "Linf 0.1, white-box, oblivious",
        "Linf 0.2, white-box, oblivious",
    ]
    entrant = entrant_of_suite("digits-lgm-s0", (1, 8, 8))
    assert [suite.attacks[1].meets(replace(entrant, seed=seed)) for seed in range(3)] == [True, False, True]
    assert all(suite.attacks[0].meets(replace(entrant, seed=seed)) for seed in range(3))


def test_sizes_may_be_fractions(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, "eps = [0.1, 0.2]", 'eps = ["2/255", 0.1, "0.2"]')).attacks[0].eps == (
        2 / 255,
        0.1,
        0.2,
    )


@pytest.mark.parametrize("name", suites())
def test_ours_are_good_and_named_after_their_file(name: str) -> None:
    assert load_suite(name).name == name


@pytest.mark.parametrize(
    "name", [name for name in suites() if name != "cifar10-v1"]
)  # its models are a user's
def test_a_defense_meets_what_the_first_training_of_a_loss_meets(name: str) -> None:
    """Whatever it is called, and whatever its seed."""
    suite = load_suite(name)
    softmax = next(one for one in suite.models if "softmax" in one and one.endswith("-s0"))
    first = entrant_of_suite(softmax, read_card(softmax).shape)

    def met(entrant: Entrant) -> list[tuple[str, str | None, ThreatModel | None, int]]:
        cells = plan_cells(suite, entrant, None, IMAGES, IMAGES, "cpu", {"msp": {}, "kde": {}})
        return [(cell.label, cell.attack, cell.threat, cell.samples) for cell in cells]

    assert len(met(first)) == 2 + sum(len(plan.eps) for plan in suite.attacks)
    for defense, seed in product(("ring", "ring-s0", "ring-s1"), (0, 1)):
        assert met(Entrant(defense, defense, seed, "sha256", first.classifier)) == met(first)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("samples = 20", "sampels = 20", "no key named 'sampels'; did you mean 'samples'"),
        ("samples = 20", "samples = 0", "'samples'.*greater than 0"),
        ("samples = 20", "", "expected a key 'samples'"),
        ('["msp", "energy"]', '["msp", "enrgy"]', "no detector named 'enrgy'; did you mean 'energy'"),
        ('attack = "fgsm"', 'attack = "fsgm"', "no attack named 'fsgm'; did you mean 'fgsm'"),
        (
            'attack = "fgsm"',
            'attack = "fgsm"\noptions = { los = "ce" }',
            "no option of attack 'fgsm' named 'los'; did you mean 'loss'",
        ),
        (
            'attack = "fgsm"',
            'attack = "fgsm"\noptions = { loss = "crossentropy" }',
            "no loss named 'crossentropy'",
        ),
        ("eps = [0.1, 0.2]", "eps = [0.1, 8]", "eps.*at most 1 in Linf.*got 8.*1/255"),
        ("eps = [0.1, 0.2]", "eps = [-0.1]", "expected eps to be > 0"),
        ("eps = [0.1, 0.2]", "eps = []", "eps"),
        (
            "eps = [0.1, 0.2]",
            'eps = ["8/0"]',
            "eps to be a number or a fraction such as \"8/255\", got '8/0'",
        ),
        ("eps = [0.1, 0.2]", "eps = [inf]", "expected eps of attack 'fgsm' to be finite"),
        ("eps = [0.1, 0.2]", "epss = [0.1]", "attack fgsm: no key named 'epss'; did you mean 'eps'"),
        ('norm = "L2"', 'norm = "Linf"', "no norm of attack 'cw' named 'Linf'"),
        ('norm = "L2"', 'norm = "L7"', "no norm named 'L7'"),
        (
            'norm = "L2"',
            'norm = "L2"\naccess = "query"',
            "access of attack 'cw' to be white-box or more, got query; say access = \"white-box\"",
        ),
        ("seeds = [0, 2]", "seeds = [-1]", "seeds"),
        ("seeds = [0, 2]", "seeds = []", "seeds"),
        ("seeds = [0, 2]", 'models = ["*-s0"]', "no key named 'models'"),
        ('norm = "L2"', 'norm = "L2"\nprecision = "fp16"', "no precision of attack 'cw' named 'fp16'"),
        (
            'attack = "fgsm"',
            'attack = "uniform-noise"\nprecision = "bf16"',
            "precision of attack 'fgsm' to be float32, got bf16: 'uniform-noise' takes no gradients",
        ),
        ('label = "cw"', 'label = "fgsm"', "its own.*fgsm"),
        ('label = "cw"', 'label = "clean"', "clean"),
        ('name = "mine-v1"', 'name = "mine-v1', "no valid TOML"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        load_suite(write(tmp_path, old, new))
    assert "\n" not in str(caught.value)


def test_a_transfer_attack_needs_a_surrogate(tmp_path: Path) -> None:
    path = Path(write(tmp_path, 'surrogate = "digits-surrogate-s0"', ""))
    path.write_text(path.read_text().replace("eps = [0.1, 0.2]", 'eps = [0.1]\naccess = "transfer"'))
    with pytest.raises(SuiteError, match="name a surrogate"):
        load_suite(str(path))


def test_a_detector_without_gradients_is_refused_to_whoever_climbs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    climbed = write(tmp_path, 'attack = "fgsm"', 'attack = "evasion"\nknows = "energy"')
    assert load_suite(climbed).attacks[0].knows == "energy"
    monkeypatch.setattr(Energy, "differentiable", False)
    with pytest.raises(
        SuiteError, match="detector 'energy' to have gradients for attack 'fgsm', got none; take"
    ):
        load_suite(climbed)
    load_suite(write(tmp_path, 'attack = "fgsm"', 'attack = "feature-matching"\nknows = "energy"'))


def test_one_surrogate_or_several(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path)).surrogate == ("digits-surrogate-s0",)
    several = 'surrogate = ["digits-surrogate-s0", "digits-center-s0"]'
    path = write(tmp_path, 'surrogate = "digits-surrogate-s0"', several)
    assert load_suite(path).surrogate == ("digits-surrogate-s0", "digits-center-s0")
    path = write(tmp_path, 'surrogate = "digits-surrogate-s0"', several.replace("center", "surrogate"))
    with pytest.raises(SuiteError, match="surrogate"):
        load_suite(path)


def test_unknown_suites() -> None:
    with pytest.raises(SuiteError, match="did you mean 'digits-v2'"):
        load_suite("digit-v2")
    with pytest.raises(SuiteError, match="no suite file"):
        load_suite("nowhere.toml")


def test_narrowing(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path))
    small = narrow(suite, models=["*-lgm-*"], attacks=["fgsm"], detectors=["msp"], samples=5)
    assert small.models == ("digits-lgm-s0",)
    assert [plan.label for plan in small.attacks] == ["fgsm"]
    assert small.detectors == ("msp",)
    assert small.samples == small.attacks[0].samples == 5
    assert narrow(suite).models == suite.models
    with pytest.raises(SuiteError, match="did you mean 'fgsm'"):
        narrow(suite, attacks=["fgms"])
    with pytest.raises(SuiteError, match="samples to be between 1 and the suite's 20"):
        narrow(suite, samples=21)


def test_who_begins_at_clean_images_hangs_on_the_validation_split(tmp_path: Path) -> None:
    attack = 'attack = "hopskipjump"\naccess = "decision"\noptions = { targets = TARGETS }'
    entrant = entrant_of_suite("digits-lgm-s0", (1, 8, 8))
    for targets, told in ((0, None), (3, IMAGES.checksum)):
        suite = load_suite(write(tmp_path, 'attack = "fgsm"', attack.replace("TARGETS", str(targets))))
        cells = plan_cells(suite, entrant, None, IMAGES, IMAGES, "cpu")
        assert {cell.examples for cell in cells if cell.label == "fgsm"} == {told}
        assert {cell.examples for cell in cells if cell.label != "fgsm"} == {None}


@pytest.mark.parametrize("native", [True, False])
def test_bf16_is_float32_where_the_device_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """So the suite runs everywhere, and each cell says what it was computed in."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": native})
    suite = load_suite(write(tmp_path, 'norm = "L2"', 'norm = "L2"\nprecision = "bf16"'))
    entrant = entrant_of_suite("digits-lgm-s0", (1, 8, 8))
    cells = plan_cells(suite, entrant, None, IMAGES, IMAGES, "cpu")
    assert {cell.label: cell.precision for cell in cells} == {
        "clean": "float32",
        "fgsm": "float32",
        "cw": "bf16" if native else "float32",
    }
