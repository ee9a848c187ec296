"""`ralph-otel watch`: loops that run elsewhere, exported like one that runs here.

Journals are followed as they are. What other runners leave in files becomes a journal of our own first, so that
everything behind it is the same: formats (one small file each) → `scribe` → journal → recorder.
"""
