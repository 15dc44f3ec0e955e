"""The modules that judge, each with the tests that must notice when it is wrong."""

__all__ = ["TESTS"]

TESTS = {
    "attacks/core/losses.py": ("tests/attacks/core/test_losses.py",),
    "attacks/core/norms.py": ("tests/attacks/core/test_norms.py",),
    "attacks/core/threat.py": ("tests/attacks/core/test_threat.py",),
    "attacks/core/victim.py": ("tests/attacks/core/test_victim.py",),
    "benchmark/analysis/checks.py": ("tests/benchmark/analysis/test_checks.py",),
    "benchmark/analysis/detector_checks.py": ("tests/benchmark/analysis/test_checks.py",),
    "benchmark/analysis/leaderboard.py": ("tests/benchmark/analysis/test_leaderboard.py",),
    "benchmark/analysis/metrics.py": (
        "tests/benchmark/analysis/test_metrics.py",
        "tests/benchmark/analysis/test_leaderboard.py",  # where it shows how few successes count
    ),
    "benchmark/analysis/sample_checks.py": ("tests/benchmark/analysis/test_checks.py",),
    "benchmark/analysis/verdict.py": ("tests/benchmark/analysis/test_verdict.py",),
    "benchmark/engine/judge.py": ("tests/benchmark/engine/test_judge.py",),
    "benchmark/engine/scoring.py": ("tests/benchmark/engine/test_scoring.py",),
}
