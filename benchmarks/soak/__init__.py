"""Hours of use in twenty minutes: whether anything grows, and whether a million iterations are counted exactly.

`emitter.py` is what is watched: a process that lives on and runs loops one after another and side by side; one that is
killed again and again, and one that is told to end. All send by OTLP to `receiver.py`, which takes requests, or
refuses, hangs, cuts, as dice fall. `looks.py` looks at the process that lives on, every few seconds. At the end
`audit.py` compares what each loop says it has done (`figures.py`), what its journal says, and what has arrived.
`soak.py` does all that, and `page.py` says what came of it. `python -m benchmarks.soak` runs it.
"""
