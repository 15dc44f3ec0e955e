"""Plug-ins: files that are run, installed packages that are found, and none that breaks the others."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmbench.attacks import ATTACKS
from gmbench.attacks.fgsm import FGSM
from gmbench.models import plugins
from gmbench.models.plugins import PluginError, code_of, load_plugin
from gmbench.models.registry import PluginWarning, Registry

ATTACK = """
from __future__ import annotations
from dataclasses import dataclass
from gmbench import ATTACKS, FGSM
import helper_of_the_plugin

@ATTACKS.register("{name}")
@dataclass(frozen=True)
class Mine(FGSM):
    steps: int = helper_of_the_plugin.STEPS
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a helper; whatever its plug-ins register is gone afterwards."""
    (tmp_path / "helper_of_the_plugin.py").write_text("STEPS = 7\n")
    names, modules, paths = dict(ATTACKS._factories), set(sys.modules), list(sys.path)
    yield tmp_path
    ATTACKS._factories.clear()
    ATTACKS._factories.update(names)
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = paths


def test_a_file_adds_an_attack(folder: Path) -> None:
    file = folder / "mine.py"
    file.write_text(ATTACK.format(name="mine"))
    load_plugin(file)
    built = ATTACKS.build("mine", loss="margin")
    assert isinstance(built, FGSM)
    assert repr(built) == "Mine(loss='margin', steps=7)"
    assert "mine" in list(ATTACKS)


def test_an_edited_file_takes_the_place_of_the_first_and_counts_as_another(folder: Path) -> None:
    file = folder / "mine.py"
    file.write_text(ATTACK.format(name="mine"))
    load_plugin(file)
    first, before = ATTACKS["mine"], code_of(ATTACKS["mine"])
    load_plugin(file)
    assert code_of(ATTACKS["mine"]) == before
    stamp = file.stat()
    file.write_text(ATTACK.format(name="mine").replace("STEPS", "STEPS+1"))
    os.utime(file, (stamp.st_atime, stamp.st_mtime))  # an edit within a second
    load_plugin(str(file))
    assert ATTACKS["mine"] is not first
    assert ATTACKS.build("mine").steps == 8
    assert code_of(ATTACKS["mine"]) not in (None, before)


def test_ours_have_no_code_and_a_copy_elsewhere_has_the_same(folder: Path) -> None:
    assert [name for name in ATTACKS if code_of(ATTACKS[name]) is not None] == []
    for place in ("one", "other"):
        (folder / place).mkdir()
        (folder / place / "mine.py").write_text(ATTACK.format(name=f"mine-{place}").replace("mine-", "m-"))
    (folder / "other" / "mine.py").write_text((folder / "one" / "mine.py").read_text())
    sys.path.append(str(folder))
    load_plugin(folder / "one" / "mine.py")
    first = code_of(ATTACKS["m-one"])
    del ATTACKS._factories["m-one"]
    load_plugin(folder / "other" / "mine.py")
    assert code_of(ATTACKS["m-one"]) == first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ATTACK.format(name="fgsm"), "plug-in mine.py failed: ValueError: .* got 'fgsm', which is taken"),
        ("import nothing_of_this_name", "plug-in mine.py failed: ModuleNotFoundError: No module named"),
        ("def broken(:", "plug-in mine.py failed: SyntaxError: "),
        ("import sys; sys.exit(0)", "plug-in mine.py failed: SystemExit: 0"),
    ],
)
def test_a_file_that_fails_is_one_line_and_leaves_all_as_it_was(
    folder: Path, source: str, message: str
) -> None:
    file = folder / "mine.py"
    file.write_text(source)
    before = dict(ATTACKS)
    with pytest.raises(PluginError, match=message) as error:
        load_plugin(file)
    assert "\n" not in str(error.value)
    assert dict(ATTACKS) == before


def test_what_is_no_python_file_is_refused(folder: Path) -> None:
    for path in (folder, folder / "missing.py", folder / "notes.txt"):
        with pytest.raises(PluginError, match=r"expected a plug-in to be a Python file \(.py\), got"):
            load_plugin(path)


def install(folder: Path, package: str, points: dict[str, str], source: str) -> None:
    """Lay a package out as an installer would."""
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[gmbench.things]\n{lines}\n")


def test_installed_packages_are_found_when_first_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    things: Registry[int] = Registry("thing", group="gmbench.things")
    monkeypatch.setattr(plugins, "THINGS", things, raising=False)
    named = "from gmbench.models import plugins\n@plugins.THINGS.register('six')\ndef six():\n    return 6\n"
    install(folder, "plugged_a", {"x": "plugged_a"}, named)
    install(folder, "plugged_b", {"seven": "plugged_b:number"}, "def number():\n    return 7\n")
    monkeypatch.syspath_prepend(folder)
    assert "plugged_a" not in sys.modules
    assert sorted(things) == ["seven", "six"]
    assert (things.build("six"), things.build("seven")) == (6, 7)
    assert code_of(things["seven"]) is not None


def test_a_package_that_fails_is_named_and_breaks_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    things: Registry[int] = Registry("thing", group="gmbench.things")
    install(folder, "broken_a", {"five": "broken_a"}, "raise RuntimeError('no luck\\nat all')")
    install(folder, "plugged_c", {"eight": "plugged_c:number"}, "def number():\n    return 8\n")
    monkeypatch.syspath_prepend(folder)
    with pytest.warns(PluginWarning) as told:
        assert things.build("eight") == 8
    [warning] = told
    assert str(warning.message) == "plug-in broken_a of package broken_a left out: RuntimeError: no luck"
    assert list(things) == ["eight"]  # and it is not tried again
