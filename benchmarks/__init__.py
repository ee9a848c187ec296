"""What ralph-otel costs the loop it watches, measured side by side with the same by other means.

`python -m benchmarks` prints every figure with its target; `docs/performance.md` is written by `--write`. One file a
measurement, each with `measure(quick)`, which gives its figures by name.
"""
