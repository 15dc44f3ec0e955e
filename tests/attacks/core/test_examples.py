"""Whose clean images lie nearest: against a search by hand."""

import pytest
import torch

from gmbench.attacks.core.examples import Examples, nearest_of_others


@pytest.mark.parametrize(("norm", "p"), [("Linf", float("inf")), ("L2", 2)])
def test_ranks_are_those_of_a_search_by_hand(norm: str, p: float) -> None:
    random = torch.Generator().manual_seed(3)
    x, y = torch.rand(7, 1, 3, 3, generator=random), torch.tensor([0, 1, 2, 5, 0, 1, 2])
    own = Examples(torch.rand(40, 1, 3, 3, generator=random), torch.randint(0, 6, (40,), generator=random))
    ranked = list(nearest_of_others(own, x, y, norm, 3, 2))
    assert len(ranked) == 3
    for image, (one, true) in enumerate(zip(x, y.tolist(), strict=True)):
        far = [float((one - other).flatten().norm(p=p)) for other in own.x]
        places = {k: sorted((own.y == k).nonzero().flatten().tolist(), key=far.__getitem__) for k in range(6)}
        order = sorted({*range(6)} - {true}, key=lambda k, places=places, far=far: far[places[k][0]])
        assert [int(target[image]) for target, _ in ranked] == order[:3]
        for target, near in ranked:
            assert near[image].tolist() == places[int(target[image])][:2]


def test_a_class_of_few_has_no_more_and_the_true_one_is_never_aimed_at() -> None:
    own = Examples(torch.tensor([[0.0], [1.0], [0.4]]), torch.tensor([0, 4, 4]))
    [(target, places)] = nearest_of_others(
        own, torch.tensor([[0.1], [0.1]]), torch.tensor([0, 4]), "L2", 9, 5
    )
    assert target.tolist() == [4, 0]
    assert places.tolist() == [[2, 1], [0, -1]]
