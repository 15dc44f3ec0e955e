"""What every attack is made of: the victim it asks, its threat model, losses, norms and random numbers.

May import `models` alone. Begin with `attack`, then `victim` and `threat`.
"""
