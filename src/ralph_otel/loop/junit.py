"""JUnit XML, the report that nearly every test program can write.

There is no standard; read here is what pytest, gotestsum, Maven Surefire, Gradle, jest-junit and vitest have in common:
`testcase` elements anywhere below `testsuites` and `testsuite`, with a `failure`, `error` or `skipped` child.
"""

from __future__ import annotations

import itertools
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from ralph_otel.loop.tally import FAILED, PASSED, SKIPPED, Tally

MAX_FILES = 10_000
"""The most files read of a folder."""
MAX_BYTES = 64 * 1024 * 1024
"""The most that is read of one report."""
CLOCK_TICK = 0.05
"""Seconds by which a file's time may lie before the clock's: kernels stamp files with their last tick."""

OUTCOMES = {"failure": FAILED, "error": FAILED, "skipped": SKIPPED}
"""What a child of a `testcase` says about it."""

_CHUNK = 1024 * 1024


def read(path: Path, since: float | None = None) -> Tally:
    """Read a report: one file, or all `*.xml` files in a folder and below.

    Args:
        path: The file or the folder.
        since: Unix time in seconds. Files last written before it are of an earlier run and don't count.

    Raises:
        ValueError: There is no report to read; the message is one line that names the path.
    """
    try:
        files = sorted(itertools.islice(path.rglob("*.xml"), MAX_FILES)) if path.is_dir() else [path]
        tallies = [tally for file in files if (tally := _read_file(file, since, strict=file is path)) is not None]
    except OSError as error:
        raise ValueError(f"JUnit report {path}: {error.strerror or 'cannot be read'}") from None
    if not tallies:
        raise ValueError(f"JUnit report {path}: not written by this test run")
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def _read_file(path: Path, since: float | None, strict: bool) -> Tally | None:
    """Read one file. None if it is not of this run or, unless `strict`, no JUnit report."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or (since is not None and status.st_mtime < since - CLOCK_TICK):
            return None
        with path.open("rb") as file:
            return parse(file)
    except ValueError as error:
        if strict:
            raise ValueError(f"JUnit report {path}: {error}") from None
        return None


def parse(file: BinaryIO) -> Tally:
    """Read one report, piece by piece: what is kept does not grow with the file.

    Raises:
        ValueError: It is not well-formed, too big, no JUnit report, or has a document type, which may hide an entity
            bomb and which no test program writes.
    """
    handler = _Handler()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = handler.doctype
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    try:
        for chunk in _chunks(file):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(f"not well-formed XML, {error}") from None
    if not handler.is_report:
        raise ValueError("no testsuite in it")
    return handler.tally


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    for _ in range(MAX_BYTES // _CHUNK):
        chunk = file.read(_CHUNK)
        if not chunk:
            return
        yield chunk
    if file.read(1):
        raise ValueError(f"larger than {MAX_BYTES} bytes")


class _Handler:
    """Counts test cases as the parser meets them."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.is_report = False
        self._test = ""
        self._outcome = PASSED

    def doctype(self, *_: object) -> None:
        raise ValueError("a document type is not allowed in it")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag in ("testsuites", "testsuite"):
            self.is_report = True
        elif tag == "testcase":
            self._test = ".".join(filter(None, (attributes.get("classname"), attributes.get("name"))))
            self._outcome = PASSED
        elif tag in OUTCOMES and self._outcome != FAILED and attributes.get("type") != "pytest.xfail":
            self._outcome = OUTCOMES[tag]

    def end(self, tag: str) -> None:
        if tag.rpartition(":")[2] == "testcase":
            self.tally.count(self._outcome, self._test)
            self._outcome = PASSED
