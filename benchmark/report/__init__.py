"""What a reader sees: tables, figures, the README of a results folder.

May import `analysis` and what that may import. Statistics live there: here they are written and drawn. Begin
with `publish`, which turns a finished run into a folder, and `writer`, which fills it; `figures` has a module
a figure.
"""
