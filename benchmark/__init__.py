"""The judge, in seven rooms: data, engine, analysis, report, api, cli, and contracts.

`data` gives images, `engine` attacks and scores them, `analysis` says what the samples mean, `report` writes
and draws that, `api` is what a notebook calls, `cli` the command line over it. Nothing climbs: data, engine
<- analysis <- report <- api <- cli. `contracts` says what attacks, detectors, losses and nets must keep to;
``suites`` holds what is run, a TOML file each. Begin with `engine`.
"""
