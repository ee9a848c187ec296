"""Agents of plain shell loops: their commands are found through stand-ins, first on PATH below `ralph-otel run`.

`command`, `stand_in` and `observer` are what runs in place of an agent, from a private copy and by the standard library
alone. `folder` makes that copy, `listener` takes what it tells, and `shell_loop` makes a loop of it.
"""
