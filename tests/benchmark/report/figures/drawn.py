"""What a test asks of a figure: its panels, lines and texts; and every loss that has a look."""

ZOO = [
    "lgm",
    "center",
    "softmax",
    "gm",
    "gccs",
    "dr_softmax",
    "l_softmax",
    "rce",
    "mmlda",
    "mmc",
    "mcat",
    "pgd_at",
    "trades",
    "lgm_at",
]


def titled(figure, text):
    """Find the one panel whose title has this text."""
    (axes,) = [axes for axes in figure.axes if text in axes.get_title()]
    return axes


def named(axes, label):
    """Find the one line with this label."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line


def texts(axes):
    return [text.get_text() for text in axes.texts]
