"""The field's data sets by name, in torchvision's layouts: MNIST and its kin, CIFAR, SVHN, ImageNet.

Their loaders are not torchvision's, which check few hashes and unpickle. Imports as `benchmark.data`.
Begin with `official` (how splits are cut) and `verified` (how files are fetched and read).
"""
