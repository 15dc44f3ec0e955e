"""The judge, in five rooms: data, engine, analysis, report, cli.

`data` gives images, `engine` attacks and scores them, `analysis` says what the samples mean, `report` writes
and
draws that, `cli` is the command line. Nothing climbs: data, engine <- analysis <- report <- cli. ``suites``
holds what is run, a TOML file each. Begin with `engine`.
"""
