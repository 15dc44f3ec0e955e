"""What goes between host and guest arrives as it was, or is refused in a line."""

import json
import os
import socket
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from gmbench.benchmark.engine.guest import wire
from gmbench.benchmark.engine.guest.wire import Channel, Ended, Late, Nonsense


class Line:
    """Both ends of a line, and a way to say on it what no `Channel` would."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.desk = os.memfd_create("test")
        self.host, self.guest = Channel(self.ours, self.desk), Channel(self.theirs, self.desk)

    def told(self, line: bytes) -> None:
        self.theirs.sendall(line)


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    with one.ours, one.theirs:
        yield one
    os.close(one.desk)


X = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "tensor",
    [
        X,
        X.to(memory_format=torch.channels_last),
        X[:, :1].clone(memory_format=torch.channels_last),
        X.transpose(0, 3),
        X[:, :, ::2],
        X.double(),
        X.bfloat16(),
        X.half(),
        torch.tensor(3.0),
        torch.empty(0, 7),
        torch.arange(5),
        torch.ones(1).expand(4, 3),
        torch.tensor([float("nan"), float("inf")]),
    ],
)
def test_tensors_arrive_as_they_were(line: Line, tensor: Tensor) -> None:
    line.guest.say({"a": 1}, {"first": X, "it": tensor})
    message, found = line.host.hear(1)
    assert message == {"a": 1}
    assert found["it"].dtype == tensor.dtype
    torch.testing.assert_close(found["it"], tensor, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found["first"], X)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_strides_survive(line: Line, channels: int, layout: torch.memory_format) -> None:
    """They decide which kernels a convolution runs, and so the last bits of its results."""
    x = torch.rand(6, channels, 5, 7).clone(memory_format=layout)
    line.host.say({}, {"x": x})
    assert line.guest.hear(1)[1]["x"].stride() == x.stride()


def test_what_was_copied_is_not_changed_by_the_other_side(line: Line) -> None:
    line.guest.say({}, {"x": X})
    found = line.host.hear(1)[1]["x"]
    line.guest.say({}, {"x": X * 0})
    assert torch.equal(found, X)


GOOD = {"dtype": "float32", "shape": [2, 2], "order": [0, 1]}


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"tensors": []}',
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps({"tensors": {"x": 3}}).encode(),
        *(
            json.dumps({"tensors": {"x": {**GOOD, **bad}}}).encode()
            for bad in (
                {"dtype": "object"},
                {"dtype": ["float32"]},
                {"shape": [2**40, 2**40]},
                {"shape": [10**6, 10**6]},
                {"shape": [-1, 2]},
                {"shape": [True, 2]},
                {"shape": [2.0, 2]},
                {"shape": 4},
                {"shape": [2] * 20, "order": list(range(20))},
                {"order": [0, 0]},
                {"order": [0]},
                {"order": ["a", 1]},
            )
        ),
    ],
    ids=range(19),
)
def test_nonsense_is_refused_in_a_line(line: Line, said: bytes) -> None:
    os.ftruncate(line.desk, 4096)
    line.told(said + b"\n")
    with pytest.raises(Nonsense) as caught:
        line.host.hear(1)
    assert "\n" not in str(caught.value)
    line.guest.say({}, {"x": X})  # and the line can go on
    assert torch.equal(line.host.hear(1)[1]["x"], X)


def test_a_file_that_is_shorter_than_its_tensors_is_refused(line: Line) -> None:
    os.ftruncate(line.desk, 4)
    line.told(json.dumps({"tensors": {"x": GOOD}}).encode() + b"\n")
    with pytest.raises(Nonsense, match="at most 4 bytes, got 16"):
        line.host.hear(1)


def test_no_end_of_a_line(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LONGEST_LINE", 10)
    line.told(b"x" * 100)
    with pytest.raises(Nonsense, match="at most 10 bytes"):
        line.host.hear(1)


def test_late_and_gone(line: Line) -> None:
    with pytest.raises(Late):
        line.host.hear(0.01)
    line.told(b'{"tens')  # drop by drop is late, too
    with pytest.raises(Late):
        line.host.hear(0.01)
    line.theirs.close()
    with pytest.raises(Ended):
        line.host.hear(1)
    with pytest.raises(Ended):
        line.host.say({})


def test_what_cannot_be_sent_is_named(line: Line) -> None:
    with pytest.raises(ValueError, match="expected mask to be floats, got bool"):
        line.host.say({}, {"mask": X > 0})
