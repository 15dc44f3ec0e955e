"""Who speaks says neither more nor less than was asked for."""

import json
from pathlib import Path

import pytest

from gmbench.benchmark.cli.telling.teller import Aloud, Events, Quiet, Teller, teller_for
from gmbench.benchmark.engine.failure import Failure
from gmbench.benchmark.engine.run import Summary

FAILURE = Failure("lgm", "pgd (Linf 0.1)", "RuntimeError: out of luck")
STORE, FOLDER = Path("kept"), Path("results/small-v1")


def speak(teller: Teller) -> None:
    """A run of two cells of which one fails."""
    teller.note("rows of lgm are taken")
    with teller:
        teller.begin(20.0, 2)
        for what in ("lgm / fgsm (Linf 0.1)", "lgm / pgd (Linf 0.1)"):
            teller.doing(what)
        teller.advance(10.0)
        teller.finished("lgm / fgsm (Linf 0.1)", 1.5)
        teller.failed(FAILURE)
    teller.end(Summary(1, 0, (FAILURE,)), STORE, FOLDER, "")


def test_aloud_tells_people_on_both_streams(capsys: pytest.CaptureFixture[str]) -> None:
    speak(Aloud())
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "rows of lgm are taken",
        "1 cells computed, 0 from the store at kept, 1 failures",
        "results: results/small-v1/README.md and results/small-v1/leaderboard.csv",
    ]
    assert told.err.splitlines() == [
        f"error: {FAILURE}",
        "1 of 2 in 0 s, slowest: lgm / fgsm (Linf 0.1) 2 s",
    ]


def test_quiet_tells_what_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    speak(Quiet())
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"error: {FAILURE}\n"


def test_events_are_json_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    speak(Events(clock=lambda: 7.0))
    told = capsys.readouterr()
    assert [json.loads(line) for line in told.out.splitlines()] == [
        {"event": "begin", "work": 20.0, "things": 2},
        {
            "event": "finished",
            "what": "lgm / fgsm (Linf 0.1)",
            "seconds": 1.5,
            "done": 1,
            "things": 2,
            "seconds_left": 0.0,
        },
        {"event": "failed", "model": "lgm", "what": "pgd (Linf 0.1)", "why": "RuntimeError: out of luck"},
        {
            "event": "end",
            "folder": "results/small-v1",
            "store": "kept",
            "made": 1,
            "found": 0,
            "failures": 1,
            "compared": None,
        },
    ]
    assert told.err == "rows of lgm are taken\n"


def test_who_is_stopped_says_what_is_left_and_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    told = "interrupted: 37 of 144 cells are finished and kept in kept, 107 are left; the same"
    Aloud().stopped(37, 144, STORE)
    assert capsys.readouterr().out.startswith(told)
    Quiet().stopped(37, 144, STORE)
    assert capsys.readouterr().err.startswith(told)
    Events().stopped(37, 144, STORE)
    assert json.loads(capsys.readouterr().out) == {
        "event": "interrupted",
        "finished": 37,
        "cells": 144,
        "store": "kept",
    }


def test_choice_of_who_speaks() -> None:
    assert isinstance(teller_for(quiet=False, as_json=False), Aloud)
    assert isinstance(teller_for(quiet=True, as_json=False), Quiet)
    assert isinstance(teller_for(quiet=False, as_json=True), Events)
    with pytest.raises(ValueError, match="expected --quiet or --json, got both"):
        teller_for(quiet=True, as_json=True)
