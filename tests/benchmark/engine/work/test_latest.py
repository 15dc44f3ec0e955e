"""What is kept is what was asked for last."""

from gmbench.benchmark.engine.work.latest import Latest


def test_what_was_asked_for_longest_ago_is_made_again() -> None:
    made: list[str] = []
    kept: Latest[str] = Latest(2)

    def ask(key: str) -> str:
        return kept.get(key, lambda: made.append(key) or f"{key} {len(made)}")  # type: ignore[func-returns-value]

    assert [ask(key) for key in "abab"] == ["a 1", "b 2", "a 1", "b 2"]
    assert ask("a") == "a 1"
    assert ask("c") == "c 3"  # b goes, which was asked for before a
    assert ask("a") == "a 1"
    assert ask("b") == "b 4"
    kept.clear()
    assert ask("b") == "b 5"
