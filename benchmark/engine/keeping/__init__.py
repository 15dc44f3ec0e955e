"""What lies in a store: by suite and model, what nobody needs any more, and what travels as one file.

Begin with inventory.py.
"""
