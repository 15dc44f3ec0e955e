"""The judge: data, suites, cells, store, scores, metrics, checks, tables, figures, command line."""
