"""Suites are checked before anything is computed; every mistake is one line with the way out."""

from pathlib import Path

import pytest

from gmbench.benchmark.engine.suite import SuiteError, load_suite, narrow, suites

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
models = ["*-lgm-*"]
"""


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
    assert suite.attacks[1].meets("digits-lgm-s0")
    assert not suite.attacks[1].meets("digits-softmax-s0")


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
        ("eps = [0.1, 0.2]", 'eps = ["8/0"]', "eps.0.*no fraction such as \"8/255\".*got '8/0'"),
        ("eps = [0.1, 0.2]", "eps = [inf]", "expected eps of attack 'fgsm' to be finite"),
        ("eps = [0.1, 0.2]", "epss = [0.1]", "attack fgsm: no key named 'epss'; did you mean 'eps'"),
        ('norm = "L2"', 'norm = "Linf"', "no norm of attack 'cw' named 'Linf'"),
        ('norm = "L2"', 'norm = "L7"', "no norm named 'L7'"),
        ('norm = "L2"', 'norm = "L2"\naccess = "query"', "'cw' needs white-box access"),
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


def test_unknown_suites() -> None:
    with pytest.raises(SuiteError, match="did you mean 'digits-v1'"):
        load_suite("digit-v1")
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
