"""Features of several layers of somebody else's net, which names none itself.

Where torchvision's feature extraction can trace the net, every value of its forward pass has a name
("layer1.0.add"); else the outputs of its submodules have ("layer1.0").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..classifier import watching

__all__ = ["Layers", "find_layers"]

Extract = Callable[[nn.Module, Sequence[str], Tensor], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Layers:
    """What a net offers, and how one pass gives it.

    Args:
        names: In the order of the pass.
        extract: A net, names and normalised images (B, *S) -> features (B, D) and {name: (B, ...)}.
    """

    names: tuple[str, ...]
    extract: Extract


@torch.no_grad()
def find_layers(net: nn.Module, x: Tensor) -> Layers:
    """Run the net on normalised images (B, *S) and name the layers whose features can be had.

    A value that a later layer overwrites goes by the later name alone.
    """
    features = net(x)
    for extract, name_all in ((_by_graph, _nodes), (_by_hooks, _submodules)):
        try:
            found, values = extract(net, name_all(net), x)
        # Tracing another's code may raise anything; hooks need none of it
        except Exception:  # noqa: BLE001
            continue
        if isinstance(found, Tensor) and torch.equal(found, features):
            return Layers(_lasting(values, x, found), extract)
    return Layers((), _by_hooks)


def _by_graph(net: nn.Module, names: Sequence[str], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Trace the net anew, which costs little beside a pass: a copy kept would not follow it to a device."""
    from torchvision.models.feature_extraction import create_feature_extractor

    last = _nodes(net)[-1]
    extractor = create_feature_extractor(net, list({*names, last}), suppress_diff_warning=True)
    values = extractor(x)
    return values[last], {name: values[name] for name in names}


def _nodes(net: nn.Module) -> list[str]:
    from torchvision.models.feature_extraction import get_graph_node_names

    return list(get_graph_node_names(net, suppress_diff_warning=True)[1])


def _by_hooks(net: nn.Module, names: Sequence[str], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    with watching(net, {name: name for name in names}) as values:
        features = net(x)
    return features, values


def _submodules(net: nn.Module) -> list[str]:
    return [name for name, _ in net.named_modules() if name]


def _lasting(values: dict[str, Tensor], x: Tensor, features: Tensor) -> tuple[str, ...]:
    """Name the values that hold a row for each image, are no input or output, and are not overwritten."""
    names = {
        id(value): name
        for name, value in values.items()
        if isinstance(value, Tensor) and value.is_floating_point() and value.shape[:1] == x.shape[:1]
    }
    return tuple(name for key, name in names.items() if key not in (id(x), id(features)))
