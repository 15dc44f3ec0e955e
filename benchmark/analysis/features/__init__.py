"""What the models' feature spaces say, beyond the samples table.

Begin with `space`, what is known of a model's features; `symmetry` is of their class means, `spread` of
softmax values.
"""
