"""Runs at the start of every Python below `ralph-otel run`; see `__init__.py`.

Whatever Python it is, nothing may be seen of this. So it is ASCII that Python 2.7 understands as well, and where the
environment has no `sitecustomize` of its own, the import fails in the end, as it would have without us.
"""

import os
import sys

_folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would cost every start of a Python
try:
    if sys.version_info >= (3, 9):  # noqa: UP036 - this file runs in older ones, too
        __import__("ralph_otel_hook").install()
except Exception:  # noqa: BLE001, S110 - without telemetry, then
    pass
sys.path[:] = [entry for entry in sys.path if entry != _folder]

_this = sys.modules.pop("sitecustomize")  # kept: Python 2 would clear the names of a module that nothing holds
__import__("sitecustomize")
