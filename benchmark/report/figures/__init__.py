"""Figures, one a module; they only draw what `analysis` computed.

Begin with `style`, which all share, and `roc`.
"""
