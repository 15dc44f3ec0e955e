"""The command line, a group of commands a file: a thin shell that may import every other room.

Begin with `main`.
"""
