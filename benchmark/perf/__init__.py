"""How fast it is, measured: `make perf`. Attacks beside other libraries', whole runs, guests.

May import every other room but the command line. Begin with `__main__`; `contests` says what is compared.
"""
