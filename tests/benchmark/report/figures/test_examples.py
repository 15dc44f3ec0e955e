"""The sheets of examples show the images, what was changed, and the classes."""

import numpy as np
import pytest

from gmbench.benchmark.report.figures.examples import Examples, examples_figure

from .drawn import texts


def make_examples(change=0.2, **options):
    x = np.random.default_rng(0).uniform(0.3, 0.7, (3, 1, 8, 8)).astype(np.float32)
    x_adv = x.copy()
    x_adv[0, 0, 0, 0] += change
    classes = np.array([1, 2, 3])
    return Examples(
        **{
            "label": "fgsm",
            "eps": 0.2,
            "x": x,
            "x_adv": x_adv,
            "y": classes,
            "clean_predicted": classes,
            "predicted": np.array([7, 2, 3]),
            "model": "m",
            **options,
        }
    )


def cell(axes, place):
    """Cut one of the pictures out of a row, (8, 8, 3); each has a column of white behind it."""
    return axes.images[0].get_array()[:, 9 * place : 9 * place + 8]


def test_examples_show_classes_and_the_factor():
    figure = examples_figure([make_examples(), make_examples(label="pgd")])
    clean, fgsm, pgd = figure.axes  # the clean images once
    assert texts(clean) == ["clean", "1 → 1", "2 → 2", "3 → 3"]
    assert texts(fgsm) == ["fgsm\nε = 0.2\ndifference times 5", "1 → 7", "2 → 2", "3 → 3"]
    assert texts(pgd)[0].startswith("pgd")
    example = make_examples()
    for axes, images in ((clean, example.x), (fgsm, example.x_adv)):
        for place in range(3):
            np.testing.assert_array_equal(
                cell(axes, 2 * place), np.rint(255 * images[place, 0])[..., None] * np.ones(3)
            )
    assert (cell(clean, 1) == 255).all()
    # the red end of the map: the largest change is upwards
    assert cell(fgsm, 1)[0, 0].tolist() == [103, 0, 31]
    assert (cell(fgsm, 1)[1:] > 240).all()
    assert (cell(fgsm, 3) > 240).all()


def test_examples_in_colour_and_without_any_change():
    x = np.zeros((3, 3, 8, 8), np.float32)
    x[:, 1] = 1
    _, row = examples_figure([make_examples(x=x, x_adv=x)]).axes
    assert cell(row, 0)[0, 0].tolist() == [0, 255, 0]
    assert texts(row)[0].endswith("no difference")


def test_examples_of_other_images_have_their_own_clean_row():
    other = make_examples()
    figure = examples_figure([other, make_examples(x=other.x / 2)])
    assert [texts(axes)[0] == "clean" for axes in figure.axes] == [True, False, True, False]


@pytest.mark.parametrize(
    ("field", "value"),
    [("x_adv", np.zeros((3, 1, 8, 9))), ("x", np.zeros((3, 8, 8))), ("y", np.zeros(2, int))],
)
def test_examples_of_the_wrong_shape(field, value):
    with pytest.raises(ValueError, match="expected"):
        make_examples(**{field: value})
