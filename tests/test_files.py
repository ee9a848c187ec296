"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ralph_otel.files import write_atomically


def test_a_file_is_made_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "made"
    write_atomically(path, b"content", 0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"content", 0o600)


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    before = path.stat().st_ino
    write_atomically(path, b"new", 0o644)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"new", [path])
    assert path.stat().st_ino != before


def test_what_is_no_plain_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"through", 0o600)
    reader.join(60)
    assert (got, stat.S_ISFIFO(pipe.stat().st_mode)) == ([b"through"], True)
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new", 0o600)
    assert (link.is_symlink(), target.read_bytes()) == (True, b"new")


def test_a_folder_cannot_be_replaced(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path, b"content", 0o600)
