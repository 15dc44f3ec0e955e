"""Suites that are made to be timed, as text."""

from collections.abc import Iterator, Sequence

__all__ = ["FORTY", "HUNDREDS", "MEMORY", "THOUSANDS"]


def _suite(
    name: str,
    data: str,
    models: Sequence[str],
    detectors: Sequence[str],
    samples: int,
    attacks: Iterator[str],
) -> str:
    head = (
        f'name = "{name}"\nabout = "Made to be timed."\ndata = "{data}"\nsamples = {samples}\nseed = 0\n'
        f"batch = {min(samples, 250)}\nmodels = {list(models)}\ndetectors = {list(detectors)}\n"
    )
    return head + "".join(attacks)


def _attack(label: str, attack: str, eps: Sequence[str], options: str = "", access: str = "white-box") -> str:
    return (
        f'\n[[attacks]]\nlabel = "{label}"\nattack = "{attack}"\neps = {list(eps)}\naccess = "{access}"\n'
        + (f"options = {{ {options} }}\n" if options else "")
    )


def _forty() -> Iterator[str]:
    sizes = ["26/255", "51/255", "76/255"]
    yield _attack("uniform-noise", "uniform-noise", sizes[:1], access="decision")
    yield _attack("fgsm", "fgsm", sizes)
    yield _attack("pgd-ce", "pgd", sizes, 'loss = "ce", steps = 20')
    yield _attack("pgd-margin", "pgd", sizes[1:2], 'loss = "margin", steps = 20')


def _labelled(count: int, steps: int) -> Iterator[str]:
    for index in range(count):
        yield _attack(f"pgd-{index}", "pgd", ["13/255", "26/255", "39/255"], f"steps = {steps + index}")


MNIST = [f"mnist-{loss}-s0" for loss in ("softmax", "lgm", "gm", "center")]
DIGITS = [f"digits-{loss}-s0" for loss in ("softmax", "lgm", "center")]

FORTY = _suite("forty", "mnist", MNIST, ["likelihood", "msp", "kde"], 200, _forty())
"""Four models, two clean and eight attacked cells each."""

HUNDREDS = _suite("hundreds", "digits", DIGITS, ["likelihood", "msp"], 250, _labelled(55, 10))
"""Three models, two clean and 165 attacked cells each, of some tenths of a second."""

THOUSANDS = _suite("thousands", "digits", DIGITS, ["likelihood", "msp"], 250, _labelled(1111, 1))
"""Three models, two clean and 3333 attacked cells each."""

MEMORY = _suite(
    "memory",
    "mnist",
    MNIST[:2],
    ["likelihood", "msp", "kde", "mahalanobis"],
    10_000,
    iter([_attack("fgsm", "fgsm", ["26/255", "51/255", "76/255"])]),
)
"""Two models on all test images."""
