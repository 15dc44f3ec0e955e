"""The modules that judge, each with the tests that must notice when it is wrong."""

__all__ = ["TESTS"]

CHECKS = "tests/benchmark/analysis/test_checks.py"
LEADERBOARD = "tests/benchmark/analysis/test_leaderboard.py"
QUESTIONS = "tests/benchmark/engine/inspection/test_questions.py"

TESTS = {
    "attacks/core/grid.py": ("tests/attacks/core/test_grid.py",),
    "attacks/core/losses.py": ("tests/attacks/core/test_losses.py",),
    "attacks/core/norms.py": ("tests/attacks/core/test_norms.py",),
    "attacks/core/threat.py": ("tests/attacks/core/test_threat.py",),
    "attacks/core/victim.py": ("tests/attacks/core/test_victim.py",),
    "benchmark/analysis/attack_strength.py": (CHECKS, "tests/benchmark/analysis/test_verdict.py"),
    "benchmark/analysis/checks.py": (CHECKS,),
    "benchmark/analysis/detector_checks.py": (CHECKS,),
    "benchmark/analysis/leaderboard.py": (LEADERBOARD,),
    "benchmark/analysis/metrics.py": (
        "tests/benchmark/analysis/test_metrics.py",
        LEADERBOARD,  # where it shows how few successes count
    ),
    "benchmark/analysis/model_samples.py": (LEADERBOARD, CHECKS),
    "benchmark/analysis/ranking.py": ("tests/benchmark/analysis/test_ranking.py",),
    "benchmark/analysis/sample_checks.py": (CHECKS,),
    "benchmark/analysis/verdict.py": ("tests/benchmark/analysis/test_verdict.py",),
    "benchmark/engine/inspection/detectors.py": ("tests/benchmark/engine/inspection/test_detectors.py",),
    "benchmark/engine/inspection/gradients.py": (QUESTIONS,),
    "benchmark/engine/inspection/outputs.py": (QUESTIONS,),
    "benchmark/engine/inspection/planted.py": (QUESTIONS,),
    "benchmark/engine/inspection/strength.py": (QUESTIONS,),
    "benchmark/engine/inspection/twins.py": (QUESTIONS,),
    "benchmark/engine/judge.py": ("tests/benchmark/engine/test_judge.py",),
    "benchmark/engine/scoring.py": ("tests/benchmark/engine/test_scoring.py",),
}
