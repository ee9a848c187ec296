"""A fleet of loops on one machine: journals, recorders, two Collector agents, a gateway, Prometheus.

`python -m benchmarks.fleet` runs it and says whether what Prometheus holds is what the journals say, and what each tier
costs. `docs/sizing.md` is written by `--write`.

Real: every loop has a journal of its own, and a recorder that follows it with a pipeline, a resource and an OTLP
exporter of its own, on its own interval; agents and gateway run the files of `collector-config/` with TLS, a token and
queues on disk; programs are killed while it runs. Simulated: what happens in the loops (`story.py`, from a seed); their
time, which runs faster; and the recorders of many loops share a process, where each loop would have its own.
"""
