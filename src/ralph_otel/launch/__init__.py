"""`ralph-otel run` and `ralph-otel enable`: how a runner that knows nothing of us comes to be recorded.

launch.py        `run`: a command that does not notice
supervisor.py    its terminal, signals and exit code
enabling.py      `enable`: a file in a runner's environment
companion.py     what records such a runner, beside it
beside.py        what `run` and the companion do beside a runner
"""
