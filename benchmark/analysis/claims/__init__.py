"""What the papers claim, judged by what a suite measured.

Begin with `every`, which lists the claims; `comparison` has the rules by which two losses are compared, `lgm`
and `published` the L-GM paper's error rates.
"""
