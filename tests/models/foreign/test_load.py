"""Which names are of other people's models, which of them need trust, and where fetched ones lie."""

import pytest

from gmbench.models.foreign.load import ForeignError, is_foreign, load_foreign, needs_trust


def test_who_is_foreign() -> None:
    assert [
        is_foreign(name)
        for name in ("torchvision:x", "torchvison:x", "a/b.pt2", "b.ts", "f.py:C@w.safetensors")
    ] == [True] * 5
    assert [
        is_foreign(name) for name in ("mnist-lgm-s0", "a/b.safetensors", "a/b.pt", "defense.py", "a/b.json")
    ] == [False] * 5


def test_who_needs_trust() -> None:
    hubs = ("torchvision:resnet18.DEFAULT", "timm:resnet18.a1_in1k", "robustbench:cifar10/Linf/Standard")
    assert [needs_trust(name) for name in (*hubs, "mnist-lgm-s0", "a/b.pt")] == [False] * 5
    strange = (
        "a/b.pt2",
        "pt2:b",
        "b.ts",
        "torchscript:b.pt",
        "f.py:C@w.safetensors",
        "python:f.py:C@w.safetensors",
        "timm:hf-hub:a/b",
    )
    assert [needs_trust(name) for name in strange] == [True] * 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvison:resnet18", "no kind of model named 'torchvison'; did you mean 'torchvision'?"),
        (
            "resnet18",
            (
                "expected a model's name to be KIND:NAME with one of pt2, python, robustbench, timm, "
                "torchscript, torchvision"
            ),
        ),
        ("nowhere.pt2", "no model file at nowhere.pt2"),
        (
            "net.py:Net",
            "FILE.py:CLASS@WEIGHTS with weights in .safetensors, .pt, .pth, .ckpt, .bin, got 'net.py:Net'",
        ),
        (
            "python:net.py",
            "FILE.py:CLASS@WEIGHTS with weights in .safetensors, .pt, .pth, .ckpt, .bin, got 'net.py'",
        ),
    ],
)
def test_unknown_names_are_one_line(name: str, message: str) -> None:
    with pytest.raises(ForeignError) as caught:
        load_foreign(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
