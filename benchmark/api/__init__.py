"""What a notebook has in its hands: load, wrap, attack, detect, evaluate, compare.

May import every room but `cli`, which is a thin shell over this one. ``import gmbench as gm`` gives each
function when it is first asked for. Begin with `model` (what is attacked), then `attacking` and `evaluation`.
"""
