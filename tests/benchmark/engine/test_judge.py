"""The judge catches what an attack may not do, and believes nothing it says."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ThreatModel
from gmbench.benchmark.engine.judge import BrokenLogits, Cheat, judge
from gmbench.models import Classifier, Outputs

THREAT = ThreatModel("Linf", 0.1)


def classifier(threshold: float = 0.501) -> Classifier:
    """Class 1 where the first pixel is above the threshold."""
    head = nn.Linear(4, 2)
    head.weight.data = torch.tensor([[0.0, 0, 0, 0], [10.0, 0, 0, 0]])
    head.bias.data = torch.tensor([0.0, -10 * threshold])
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


@pytest.mark.parametrize("level", [1, 127, 128, 200, 254])
def test_grey_levels_are_left_as_they_are(level: int) -> None:
    y = torch.zeros(1, dtype=torch.int64)
    for shift, above in ((-0.5, True), (0.5, False)):
        x_adv = torch.full((1, 1, 2, 2), level / 255)
        x = x_adv + (-1 if above else 1) / 255
        table = judge(classifier((level + shift) / 255), x, x_adv, y if above else y + 1, THREAT)
        assert table["success"].tolist() == table["success_8bit"].tolist() == [True]


def test_the_edges_of_the_box_belong_to_it() -> None:
    x, y = torch.full((3, 1, 2, 2), 0.05), images()[1]
    x[:, :, 1] = 0.95
    assert len(judge(classifier(), x, x.round(), y, THREAT)) == 3


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (lambda x: x + 0.11, "norm at most 0.1, got 0.11"),
        (lambda x: x * float("nan"), "to be finite, got NaN or infinity in 3 of 3"),
        (lambda x: x / (x != 0.55), "to be finite, got NaN or infinity in 1 of 3"),
        (lambda x: x + 0.5 * (x > 0.54), "norm at most|lie in"),
        (lambda x: x + 0.1005, "norm at most 0.1, got 0.1005"),  # half a per cent too far
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


class Breaking(Classifier):
    """Gives a class's logit as ``value`` where the first pixel lies in ``where``."""

    def __init__(self, value: list[float], where: tuple[float, float]) -> None:
        inner = classifier()
        super().__init__(inner.net, inner.head)
        self.value, self.where = torch.tensor(value), where

    def outputs(self, x: Tensor, *arguments: object, **options: object) -> Outputs:
        found = super().outputs(x)
        broken = (x[:, 0, 0, 0] > self.where[0]) & (x[:, 0, 0, 0] < self.where[1])
        return replace(found, logits=torch.where(broken[:, None], self.value, found.logits))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [[NAN, 0.0], [0.0, NAN], [INF, 0.0], [-INF, -INF]])
@pytest.mark.parametrize(
    ("where", "message"),
    [
        ((0.4, 0.46), "on 2 of 3 clean images"),
        ((0.495, 0.5), "on 1 of 3 attacked images$"),
        ((0.5005, 0.505), "on 1 of 3 attacked images in 8 bits"),
    ],
)
def test_logits_that_name_no_class_fail_the_cell(
    value: list[float], where: tuple[float, float], message: str
) -> None:
    x, y = images()
    x_adv = x.clone()
    x_adv[0, 0, 0, 0] = 0.5003 if where[0] > 0.5 else 0.499  # 128 / 255 and 127 / 255 when rounded
    model = Breaking(value, where).eval()
    with pytest.raises(BrokenLogits, match=f"expected logits to be finite, got NaN or infinity {message}"):
        judge(model, x, x_adv, y, THREAT)


def test_a_class_that_is_ruled_out_is_no_broken_logit() -> None:
    x, y = images()
    table = judge(Breaking([0.0, -INF], (0.0, 1.0)).eval(), x, x, y, THREAT)
    assert table["predicted"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("outside", [1.005, -0.005])
def test_a_little_outside_of_the_box_is_a_cheat(outside: float) -> None:
    x = torch.full((3, 1, 2, 2), 0.95 if outside > 1 else 0.05)
    with pytest.raises(Cheat, match=r"to lie in \[0, 1\]"):
        judge(classifier(), x, torch.full_like(x, outside), images()[1], THREAT)


def test_rounding_is_no_cheat() -> None:
    x, y = images()
    judge(classifier(), x, x + torch.tensor(0.1) + 1e-7, y, THREAT)


def test_out_of_memory_changes_no_verdict() -> None:
    class Small(nn.Flatten):
        room = 100

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    x, y = images()
    x_adv = x.clone()
    x_adv[0, 0, 0, 0] = 0.46
    small = Small()
    model = Classifier(small, classifier().head).eval()
    whole = judge(model, x, x_adv, y, THREAT)
    small.room = 1
    pd.testing.assert_frame_equal(judge(model, x, x_adv, y, THREAT), whole)
