"""The command line as a function, and made-up `samples` frames for the tests of everything that reads one."""

import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

LIKELIHOODS = ("likelihood", "mixture")  # what a softmax classifier has not
DETECTORS = (*LIKELIHOODS, "distance", "msp", "energy", "mahalanobis", "gaussian", "kde")
EPS = (0.05, 0.1, 0.2, 0.3)
REGISTRY = {
    "pgd-margin": "pgd",
    "pgd-ce": "pgd",
    "transfer-pgd": "pgd",
    "likelihood-pgd": "pgd",
}
"""What the labels of made-up suites stand for in the registry; the others are called as their attack."""

# label, norm, every eps, access, awareness, how much of eps the attack makes use of, the share of images it
# is run on
ATTACKS = (
    ("uniform-noise", "Linf", EPS, "decision", "oblivious", 0.1, 1.0),
    ("fgsm", "Linf", EPS, "white-box", "oblivious", 0.6, 1.0),
    ("pgd-margin", "Linf", EPS, "white-box", "oblivious", 1.0, 1.0),
    ("transfer-pgd", "Linf", EPS, "transfer", "oblivious", 0.4, 1.0),
    ("square", "Linf", EPS[1::2], "query", "oblivious", 0.8, 0.5),
    ("likelihood-pgd", "Linf", EPS, "white-box", "adaptive", 0.9, 1.0),
    ("cw", "L2", (np.inf,), "white-box", "oblivious", 1.0, 0.5),
)


@pytest.fixture(scope="session")
def gmbench() -> Callable[..., int]:
    """A function that runs a command in this process and returns its exit code."""
    return _gmbench


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., pd.DataFrame]:
    """A function that makes a realistic samples frame from a seed.

    `_samples` says what it can be asked for.
    """
    return _samples


@pytest.fixture(scope="session")
def by_hand() -> Callable[..., pd.DataFrame]:
    """A function that makes the samples frame of one model from the few columns that a test is about.

    See `_by_hand`.
    """
    return _by_hand


def _gmbench(*arguments: object) -> int:
    from gmbench.benchmark.cli.main import main

    before = sys.argv
    sys.argv = ["gmbench", *map(str, arguments)]
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.argv = before
    return 0


def _by_hand(
    clean: Mapping[str, Sequence],
    attacks: Mapping[tuple, Mapping],
    validation: Mapping[str, Sequence] | None = None,
    model: str = "mine",
) -> pd.DataFrame:
    """Make a frame in which class 0 is right and class 1 is wrong everywhere.

    Args:
        clean: ``predicted`` of the test images 0, 1, ..., and ``score_<detector>`` where there are any.
        attacks: From (label, norm, eps, access, awareness) to ``predicted``, scores, and ``id`` where some
            images were not attacked. Who is adaptive knows the first of the detectors.
        validation: Scores of the clean validation images.
        model: Its name.
    """
    predicted = np.array(clean["predicted"])
    cells = [({"split": "test"}, ("clean", "", 0.0, "", ""), {"id": range(len(predicted)), **clean})]
    if validation is not None:
        count = len(next(iter(validation.values())))
        cells.append(
            (
                {"split": "validation"},
                ("clean", "", 0.0, "", ""),
                {"id": range(100, 100 + count), "predicted": 0, **validation},
            )
        )
    cells += [
        ({"split": "test"}, attack, {"id": range(len(predicted)), **columns})
        for attack, columns in attacks.items()
    ]
    frames = []
    for head, attack, columns in cells:
        frame = pd.DataFrame(
            {"size": 0.1, "margin": 0.0, "forwards": 1, "backwards": 0, "zeros": 0, "y": 0, **columns}
        )
        attacked = attack[0] != "clean"
        frame["clean_predicted"] = predicted[frame["id"]] if attacked else frame["predicted"]
        frame["success"] = attacked & (frame["clean_predicted"] == 0) & (frame["predicted"] != 0)
        frame["success_8bit"] = frame.get("success_8bit", frame["success"])
        named = dict(zip(("label", "norm", "eps", "access", "awareness"), attack, strict=True))
        named["attack"] = REGISTRY.get(attack[0], attack[0])
        scored = [name.removeprefix("score_") for name in clean if name.startswith("score_")]
        named["knows"] = (scored or ["likelihood"])[0] if named["awareness"] == "adaptive" else ""
        frames.append(frame.assign(model=model, loss="lgm", seed=0, **head, **named))
    return pd.concat(frames, ignore_index=True)


def _samples(
    *,
    losses: Sequence[str] = ("lgm", "center", "softmax"),
    seeds: Sequence[int] = (0, 1, 2),
    images: int = 200,
    validation: int = 300,
    attacks: Sequence[tuple] = ATTACKS,
    detectors: Sequence[str] = DETECTORS,
    seed: int = 0,
) -> pd.DataFrame:
    """Make ``images`` test and ``validation`` validation images a model.

    An image falls to an attack once strength * eps passes its own radius: larger eps, white-box access and
    real attacks win as they should. Adversarial scores lie above clean ones by 1.5 standard deviations where
    the attack succeeded, 1 where it knows the detector.
    """
    rng = np.random.default_rng(seed)
    labels = {"test": rng.integers(0, 10, images), "validation": rng.integers(0, 10, validation)}
    ids = {"test": np.arange(images) + 60_000, "validation": np.arange(validation)}
    cells = []
    for loss in losses:
        named = [name for name in detectors if loss != "softmax" or name not in LIKELIHOODS]
        for training in seeds:
            model = {"model": f"mnist-{loss}-s{training}", "loss": loss, "seed": training}
            for split, truth in labels.items():
                wrong = rng.random(len(truth)) < 0.02
                clean = {
                    "split": split,
                    "id": ids[split],
                    "y": truth,
                    "clean_predicted": np.where(wrong, (truth + 1) % 10, truth),
                    **{f"score_{name}": rng.normal(0, 1, len(truth)) + wrong for name in named},
                }
                cells.append(_cell(rng, model, clean, ("clean", "", 0.0, "", "", 0.0)))
                if split == "validation":
                    continue
                radius = rng.gamma(4, 0.03, len(truth))
                for label, norm, sizes, access, awareness, strength, share in attacks:
                    some = slice(int(share * len(truth)))
                    part = {
                        key: value if isinstance(value, str) else value[some] for key, value in clean.items()
                    }
                    cells += [
                        _cell(
                            rng,
                            model,
                            part,
                            (label, norm, eps, access, awareness, strength),
                            radius[some],
                            named,
                        )
                        for eps in sizes
                    ]
    frame = pd.concat(cells, ignore_index=True)
    for name in detectors:  # in their order, and NaN where no model has the detector
        frame[f"score_{name}"] = (
            frame.pop(f"score_{name}").astype("float32") if f"score_{name}" in frame else np.float32(np.nan)
        )
    for name in ("model", "loss", "split", "attack", "label", "norm", "access", "awareness", "knows"):
        frame[name] = frame[name].astype("category")
    return frame.astype(
        dict.fromkeys(("size", "margin"), "float32")
        | dict.fromkeys(("forwards", "backwards", "zeros"), "int32")
    )


def _cell(rng, model, clean, cell, radius=None, detectors=()) -> pd.DataFrame:
    label, norm, eps, access, awareness, strength = cell
    n, truth, predicted = len(clean["id"]), clean["y"], clean["clean_predicted"]
    broken = np.zeros(n, bool) if radius is None else strength * eps > radius
    success = broken & (predicted == truth)
    size = np.where(broken, radius if eps == np.inf else eps, 0.0 if eps == np.inf else eps)
    gradients = 40 if label != "clean" and access in ("white-box", "transfer") else 0
    shift = (0.2 + 1.3 * success) / (1.5 if awareness == "adaptive" else 1)
    return pd.DataFrame(
        {
            **model,
            **clean,
            "attack": REGISTRY.get(label, label),
            "label": label,
            "norm": norm,
            "eps": eps,
            "access": access,
            "awareness": awareness,
            "knows": detectors[0] if awareness == "adaptive" else "",
            "predicted": np.where(success, (truth + 3) % 10, predicted),
            "success": success,
            "success_8bit": success & (rng.random(n) > 0.01),
            "size": size,
            "margin": rng.normal(
                np.where(success, 2, -5) if label != "clean" else np.where(predicted == truth, -8, 1), 1
            ),
            "forwards": max(1, 2 * gradients),
            "backwards": gradients,
            "zeros": rng.binomial(gradients, 0.01, n),
            **{f"score_{name}": clean[f"score_{name}"] + rng.normal(shift, 0.5) for name in detectors},
        }
    )
