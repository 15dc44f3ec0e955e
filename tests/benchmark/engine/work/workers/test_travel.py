"""What travels is the same where it arrives: models of every kind, guests, plug-ins."""

import hashlib
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.defense import Entrant, entrant_by_name, entrant_from_checkpoint, together
from gmbench.benchmark.engine.guest.client import GuestClassifier
from gmbench.benchmark.engine.scoring import detectors_for
from gmbench.benchmark.engine.work.crew import CrewError
from gmbench.benchmark.engine.work.perform import Member
from gmbench.benchmark.engine.work.workers import travel
from gmbench.detectors.detector import OWN
from gmbench.models import Classifier
from gmbench.models.plugins import load_plugin, module_name

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))

NET = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(3)
        super().__init__(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
"""

DEFENSE = """
from dataclasses import dataclass

import helper
import gmbench


@dataclass
class Norm(gmbench.Detector):
    def score(self, outputs):
        return outputs.features.norm(dim=1)


def build():
    return gmbench.Defense("travels", helper.classifier(), Norm())
"""

HELPER = """
import gmbench


def classifier():
    return gmbench.load_checkpoint("digits-softmax-s0")[0]
"""


def arrived(thing: object) -> object:
    return travel.opened(travel.parcel(thing, "it"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker's folder, on a machine that has none of the client's files."""
    folder = tmp_path / "worker"
    monkeypatch.setattr(travel, "get_worker", lambda: SimpleNamespace(local_directory=str(folder)))
    return folder


def test_an_entrant_with_its_detectors() -> None:
    entrant = entrant_from_checkpoint("digits-lgm-s0")
    member = Member(entrant, detectors_for(["msp", "likelihood"], entrant, load_data("digits", "test")))
    got = arrived(member)
    assert isinstance(got, Member)
    assert got.entrant.fingerprint == entrant.fingerprint
    assert repr(got.detectors) == repr(member.detectors)
    assert torch.equal(got.entrant.classifier(X), entrant.classifier(X))


def test_a_detector_that_asks_the_model_asks_the_one_that_came_with_it() -> None:
    entrant = entrant_from_checkpoint("digits-softmax-s0")
    asking = detectors_for(["msp"], entrant, load_data("digits", "test"))["msp"].bind(entrant.classifier)
    got = arrived(Member(entrant, {"asking": asking}))
    assert isinstance(got, Member)
    assert got.detectors["asking"].model is got.entrant.classifier


def test_several_models_as_one_and_one_of_a_function() -> None:
    entrants = [entrant_from_checkpoint(f"digits-{name}-s0") for name in ("lgm", "softmax")]
    surrogate = together(entrants)
    assert surrogate is not None
    got = arrived(surrogate)
    assert isinstance(got, Entrant)
    assert torch.equal(got.classifier(X), surrogate.classifier(X))

    class Local(nn.Flatten):
        """Of a notebook, say: importable from nowhere."""

    local = Classifier(Local(), nn.Linear(64, 10)).eval()
    came = arrived(local)
    assert isinstance(came, Classifier)
    assert torch.equal(came(X), local(X))


def test_models_that_pickle_does_not_know(tmp_path: Path) -> None:
    scope: dict[str, type[nn.Module]] = {}
    exec(NET, scope)
    net = scope["Net"]().eval()
    exported = torch.export.export(net, (X,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(exported, tmp_path / "net.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(net, X), tmp_path / "net.ts")
    for name in ("net.pt2", "net.ts"):
        entrant = entrant_by_name(str(tmp_path / name), (1, 8, 8))
        got = arrived(Member(entrant, {}))
        assert isinstance(got, Member)
        assert torch.equal(got.entrant.classifier(X), entrant.classifier(X)), name


@pytest.mark.slow
def test_a_guest_is_one_where_it_arrives_and_answers_the_same(tmp_path: Path, elsewhere: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "defense.py").write_text(DEFENSE)
    (home / "helper.py").write_text(HELPER)
    entrant = entrant_by_name(str(home / "defense.py"), (1, 8, 8))
    member = Member(entrant, detectors_for(["msp"], entrant, load_data("digits", "test")))
    packed = travel.parcel(member, "it")
    told = [(entrant.classifier(X), member.detectors[OWN].score(entrant.classifier.outputs(X)))]
    home.rename(tmp_path / "gone")
    got = travel.opened(packed)
    assert isinstance(got.entrant.classifier, GuestClassifier)
    assert got.entrant.classifier.guest.program.file.is_relative_to(elsewhere)
    told.append((got.entrant.classifier(X), got.detectors[OWN].score(got.entrant.classifier.outputs(X))))
    assert torch.equal(told[0][0], told[1][0])
    assert torch.equal(told[0][1], told[1][1])
    assert got.detectors[OWN].guest is got.entrant.classifier.guest
    for one in (entrant, got.entrant):
        one.classifier.guest.close()


def test_a_guest_of_files_that_are_there_runs_where_they_are(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    scope: dict[str, type[nn.Module]] = {}
    exec(NET, scope)
    torch.save(scope["Net"]().state_dict(), tmp_path / "net.pt")
    entrant = entrant_by_name(f"{tmp_path}/net.py:Net@{tmp_path}/net.pt", (1, 8, 8))
    packed = travel.parcel(entrant, "it")
    expected, here = entrant.classifier(X), travel.opened(packed).classifier
    assert torch.equal(here(X), expected)
    assert not elsewhere.exists()
    (tmp_path / "net.pt").rename(tmp_path / "moved.pt")
    there = travel.opened(packed).classifier
    assert there.guest.program.file.is_relative_to(elsewhere)
    assert torch.equal(there(X), expected)
    for one in (here, there, entrant.classifier):
        one.guest.close()


def test_what_cannot_be_sent_is_told_in_a_line() -> None:
    entrant = entrant_from_checkpoint("digits-softmax-s0")
    entrant.classifier.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(CrewError, match=r"^mine cannot be sent to workers \(TypeError: .*; use --workers 1$"):
        travel.parcel(entrant, "mine")


def test_what_came_damaged_is_not_opened() -> None:
    packed = travel.parcel([1, 2], "it")
    assert packed.key == hashlib.sha256(packed.content).hexdigest()
    with pytest.raises(ValueError, match="damaged"):
        travel.opened(travel.Parcel(packed.key, packed.content[:-1] + b"!"))


@pytest.mark.usefixtures("forgetful")
def test_plugins_bear_the_same_names_where_they_arrive(tmp_path: Path, elsewhere: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("from gmbench import NETS\n\nclass Thing:\n    size = 3\n")
    load_plugin(plugin)
    name = module_name(plugin)
    files = travel.plugins()
    assert files[str(plugin)] == plugin.read_bytes()
    thing = travel.parcel(sys.modules[name].Thing(), "it")
    del sys.modules[name]
    plugin.unlink()
    travel.load_plugins({str(plugin): files[str(plugin)]})
    loaded = sys.modules[name]
    assert Path(str(loaded.__file__)).is_relative_to(elsewhere)
    assert type(travel.opened(thing)) is loaded.Thing
    travel.load_plugins({str(plugin): files[str(plugin)]})
    assert sys.modules[name] is loaded  # not run again
    del sys.modules[name]
