"""Float32 is float32 inside, and outside it is what the program around has chosen."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from gmbench.models import HEADS, Classifier
from gmbench.models.precision import bf16, computed_in, full_float32, has_bf16

BACKENDS = torch.backends
NEW = hasattr(BACKENDS.cudnn, "conv")
"""Whether torch sets the precision operation by operation."""


def operations() -> list[object]:
    if not NEW:
        return []
    return [
        *(BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn, BACKENDS.cuda.matmul),
        *(BACKENDS.mkldnn.conv, BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.rnn),
    ]


def state() -> list[object]:
    """Tell all flags; an older one is not to be read where the newer ones say otherwise."""
    told: list[object] = [operation.fp32_precision for operation in operations()]
    for read in (lambda: BACKENDS.cudnn.allow_tf32, torch.get_float32_matmul_precision):
        try:
            told.append(read())
        except RuntimeError:
            told.append("mixed")
    return told


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = [operation.fp32_precision for operation in operations()]
    yield
    BACKENDS.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    for operation, precision in zip(operations(), before, strict=True):
        operation.fp32_precision = precision


def nothing() -> None: ...


def tf32_by_operation() -> None:
    BACKENDS.cuda.matmul.fp32_precision = "tf32"
    BACKENDS.cudnn.conv.fp32_precision = "tf32"


def bf16_convolutions() -> None:
    BACKENDS.mkldnn.conv.fp32_precision = "bf16"


@pytest.mark.parametrize(
    "choose",
    [
        nothing,
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("medium"),
        *([tf32_by_operation, bf16_convolutions] if NEW else []),
    ],
)
def test_float32_in_full_and_back(choose: Callable[[], None]) -> None:
    choose()
    before = state()
    with full_float32(), full_float32():
        assert BACKENDS.cudnn.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"
        assert BACKENDS.cuda.matmul.allow_tf32 is False
        assert all(operation.fp32_precision in ("none", "ieee") for operation in operations())
    assert state() == before
    with pytest.raises(ZeroDivisionError), full_float32():
        raise ZeroDivisionError
    assert state() == before


@pytest.mark.skipif(not has_bf16("cpu"), reason="the processor has no bf16")
def test_products_keep_their_digits() -> None:
    x = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    torch.set_float32_matmul_precision("medium")
    rough = x @ x
    with full_float32():
        fine = x @ x
    exact = (x.double() @ x.double()).float()
    torch.testing.assert_close(fine, exact, rtol=1e-6, atol=0)
    assert (rough - exact).abs().max() > 100 * (fine - exact).abs().max()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": False, "avx2": True}, False),
        ({}, False),
    ],
)
def test_bf16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bf16("cpu") is expected
    assert computed_in("bf16", "cpu") == ("bf16" if expected else "float32")
    assert computed_in("float32", "cpu") == "float32"


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision to be one of float32, bf16, got 'fp16'"):
        computed_in("fp16", "cpu")


class Exact(nn.Module):
    """Keeps what it is given, and notes whether it was to compute in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 8, bias=False)
        self.rough = False

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.linear(x)
        self.rough = features.dtype == torch.bfloat16
        return features


def test_a_head_computes_in_float32_whatever_its_net_does() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for head in (HEADS.build("gm", features=8, classes=3), nn.Linear(8, 3)):
            net = Exact()
            classifier = Classifier(net, head).eval()
            x = 30 * torch.rand(5, 4)
            with torch.no_grad(), bf16("cpu"):
                outputs, logits = classifier.outputs(x), classifier(x)
            assert net.rough
            assert outputs.features.dtype == outputs.logits.dtype == logits.dtype == torch.float32
            with torch.no_grad():
                expected = head(outputs.features)
            assert outputs.logits.equal(expected)
            assert logits.equal(expected)
