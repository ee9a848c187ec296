"""Everything that goes out by OTLP: kept on disk until the receiver has it, or it must be given up.

`deliveries.py` puts it together: the SDK's processors hand over to the exporters of `exporters.py`, these put a request
into the `queue.py` of its signal and receiver, and a thread (`sender.py`) sends what waits, oldest first, over a
`wire.py`, and does what `answers.py` says of what came back. Spans that a receiver has taken are noted
(`delivered.py`), and so is how far log records were handed over (`logged.py`).
"""
