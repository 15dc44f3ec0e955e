"""The judge catches what an attack may not do, and believes nothing it says."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ThreatModel
from gmbench.benchmark.engine.judge import Cheat, judge
from gmbench.models import Classifier

THREAT = ThreatModel("Linf", 0.1)


def classifier() -> Classifier:
    """Class 1 where the first pixel is above .501."""
    head = nn.Linear(4, 2)
    head.weight.data = torch.tensor([[0.0, 0, 0, 0], [10.0, 0, 0, 0]])
    head.bias.data = torch.tensor([0.0, -5.01])
    return Classifier(nn.Flatten(), head).eval()


def images() -> tuple[Tensor, Tensor]:
    x = torch.full((3, 1, 2, 2), 0.5)
    x[:, 0, 0, 0] = torch.tensor([0.55, 0.45, 0.45])
    return x, torch.tensor([1, 0, 1])  # the third is misclassified from the start


def test_success_is_judged_by_the_judge() -> None:
    x, y = images()
    x_adv = x.clone()
    x_adv[0, 0, 0, 0], x_adv[2, 0, 0, 0] = 0.46, 0.4
    table = judge(classifier(), x, x_adv, y, THREAT)
    # wrong from the start is no success of the attack
    assert table["success"].tolist() == [True, False, False]
    assert table["success_8bit"].tolist() == [True, False, False]
    assert table["predicted"].tolist() == [0, 0, 0]
    assert table["clean_predicted"].tolist() == [1, 0, 0]
    torch.testing.assert_close(
        torch.tensor(table["size"].tolist()), torch.tensor([0.09, 0.0, 0.05]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        torch.tensor(table["margin"].tolist()), torch.tensor([0.41, -0.51, 1.01]), atol=1e-5, rtol=0
    )


def test_any_wrong_class_is_a_success() -> None:
    x, y = images()
    table = judge(classifier(), x, (x + 0.09).clamp(0, 0.54), y, THREAT)  # all become class 1
    assert table["predicted"].tolist() == [1, 1, 1]
    assert table["success"].tolist() == table["success_8bit"].tolist() == [False, True, False]


def test_a_success_that_dies_in_8_bits_is_told() -> None:
    x, y = images()
    x_adv = x.clone()
    x_adv[0, 0, 0, 0] = 0.5005  # 127.6 / 255, below the boundary; 128 / 255 = .502 is above
    table = judge(classifier(), x, x_adv, y, THREAT)
    assert table["success"][0]
    assert not table["success_8bit"][0]


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (lambda x: x + 0.11, "norm at most 0.1, got 0.11"),
        (lambda x: x * float("nan"), "to be finite, got NaN or infinity in 3 of 3"),
        (lambda x: x / (x != 0.55), "to be finite, got NaN or infinity in 1 of 3"),
        (lambda x: x + 0.5 * (x > 0.54), "norm at most|lie in"),
        (lambda x: x - 2, "to lie in \\[0, 1\\]"),
        (lambda x: x[:2], "like the images"),
        (lambda x: x.double(), "like the images"),
        (lambda x: x.numpy(), "like the images, got ndarray"),
    ],
)
def test_cheats_are_caught(cheat: Callable[[Tensor], Tensor], message: str) -> None:
    x, y = images()
    with pytest.raises(Cheat, match=message):
        judge(classifier(), x, cheat(x), y, THREAT)


def test_rounding_is_no_cheat() -> None:
    x, y = images()
    judge(classifier(), x, x + torch.tensor(0.1) + 1e-7, y, THREAT)
