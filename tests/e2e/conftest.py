"""The programs of `stack/` with the files of `collector-config/`, once for all tests here.

Whoever adds tests takes the fixture `backends`: what loops send to its addresses, or leave in its `home`, is there
within seconds, under the `instance` (the run id) of each. Where the programs cannot be had, everything here is skipped
with the one line that says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from backends import Backends, started


@pytest.fixture(scope="session")
def backends(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """All of them, running, for the whole session."""
    with ExitStack() as stack:
        yield started(tmp_path_factory.mktemp("backends"), stack)
