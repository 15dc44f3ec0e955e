"""Image sets by name: scikit-learn's, torchvision's, a folder of images, Parquet files.

May import `models` for its registries alone, and no other room. Begin with `datasets` (the names, and what
loading one gives) and `image_set` (what all of them are).
"""
