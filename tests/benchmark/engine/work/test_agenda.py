"""Scripts go on in their order, no earlier than somebody asks for their pieces, and wait for each other."""

from collections.abc import Iterator

import pytest

from gmbench.benchmark.engine.work.agenda import Agenda, Script, Task
from gmbench.benchmark.engine.work.piece import Done, Piece


def piece(title: str) -> Piece:
    return Piece("model", "fingerprint", title, 1.0)


def drain(agenda: Agenda) -> Iterator[str]:
    while (one := agenda.next()) is not None:
        yield one.title
        agenda.settle(one, Done())


def making(*titles: str) -> Script:
    dones = yield [piece(title) for title in titles]
    return not any(done.why for done in dones)


def test_pieces_come_in_the_order_of_their_tasks() -> None:
    agenda = Agenda()
    for titles in ("ab", "c", "de"):
        agenda.add(making(*titles))
    assert list(drain(agenda)) == list("abcde")
    assert agenda.over


def test_a_script_goes_on_when_its_pieces_are_asked_for_and_not_before() -> None:
    agenda, looked = Agenda(), []

    def looking(title: str) -> Script:
        looked.append(title)
        return (yield from making(title))

    for title in "abc":
        agenda.add(looking(title))
    assert looked == []
    assert agenda.next() is not None
    assert looked == ["a"]


def test_who_waits_goes_on_before_what_comes_later() -> None:
    agenda = Agenda()

    def waiting(other: Task) -> Script:
        assert (yield other)
        return (yield from making("b"))

    first = agenda.add(making("a"))
    agenda.add(waiting(first))
    agenda.add(making("c"))
    a, c = agenda.next(), agenda.next()
    assert a is not None
    assert c is not None
    assert (a.title, c.title, agenda.next()) == ("a", "c", None)
    assert not agenda.over
    agenda.settle(a, Done())
    agenda.settle(c, Done())
    assert list(drain(agenda)) == ["b"]
    assert agenda.over


@pytest.mark.parametrize("why", ["", "no luck"])
def test_who_waits_hears_how_it_went_also_afterwards(why: str) -> None:
    agenda, heard = Agenda(), []
    first = agenda.add(making("a"))

    def waiting() -> Script:
        heard.append((yield first))
        return True

    agenda.add(waiting())
    agenda.add(waiting())
    a = agenda.next()
    assert a is not None
    agenda.settle(a, Done(why=why))
    assert agenda.next() is None
    assert heard == [not why] * 2
    assert agenda.over


def test_the_other_pieces_of_a_task_that_failed_are_not_given_out() -> None:
    agenda = Agenda()
    task = agenda.add(making("a", "b", "c", "d"))
    a, b = agenda.next(), agenda.next()
    assert a is not None
    assert b is not None
    agenda.settle(b, Done(why="no luck"))
    assert not agenda.over  # the first is still with somebody
    assert agenda.next() is None
    agenda.settle(a, Done())
    assert agenda.next() is None
    assert agenda.over
    assert task.ok is False
