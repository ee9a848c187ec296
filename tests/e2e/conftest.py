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
from stack.programs import PROGRAMS

from support.programs import program

_SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests here are of `make e2e`; the time to build and start programs is not theirs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """The programs by their names in `stack.programs`; the first time they are built, which takes minutes."""
    return {name: program(name) for name in PROGRAMS}


@pytest.fixture(scope="session")
def backends(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """All of them, running, for the whole session."""
    with ExitStack() as stack:
        yield started(tmp_path_factory.mktemp("backends"), stack)
