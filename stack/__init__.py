"""The real programs that a loop's figures go to: Collector, Prometheus, Jaeger, node_exporter, built, started, asked.

`python -m stack` starts them for a person to look around, with the files of `collector-config/`; the tests in
`tests/e2e` start them on free ports. Each folder here is a Go module that pins one of them.
"""
