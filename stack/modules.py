"""Building a program with Go, once: what is built stays in a folder outside the checkout.

A folder there is named after the module and a hash of its files, the version of Go and the machine; it appears whole,
or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.errors import CannotBuild, StackError

_HERE = Path(__file__).parent
_GO_LINE = re.compile(r"^go (\d+)\.(\d+)", re.MULTILINE)
_OPTIONS = ("-trimpath", "-ldflags=-s -w", "-tags=remove_all_sd")
"""Prometheus, and the Collector's receiver that is made of it, find targets by files here and need no cloud's API."""
_SHOWN = 15
"""Lines of a failed build that are shown."""


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module in this folder.

    Args:
        name: the folder's.
        packages: what is built of it, as `go build` takes it: `.` is the module itself, `tool` the tools that its
            `go.mod` names.
    """

    name: str
    packages: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return _HERE / self.name


def cache() -> Path:
    """Where the built programs are: `$XDG_CACHE_HOME/ralph-otel/stack`, or the same below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ralph-otel" / "stack"


def built(module: Module, variable: str) -> Path:
    """The folder with a module's programs, which are built if they are not there yet.

    Several may ask at once: one builds, the others wait for it.

    Args:
        module: what is built.
        variable: the variable that could name a program instead, for what is said when it cannot be built.

    Raises:
        CannotBuild: Go is missing or too old.
        StackError: the build failed.
    """
    toolchain = _toolchain(module, variable)
    folder = cache() / f"{module.name}-{_key(module, toolchain)}"
    if not folder.is_dir():
        with alone(cache() / f"{module.name}.lock"):
            if not folder.is_dir():
                _build(module, folder)
    return folder


def _toolchain(module: Module, variable: str) -> str:
    """Version, system and architecture of the Go that is here."""
    needed = _GO_LINE.search((module.folder / "go.mod").read_text(encoding="utf-8"))
    assert needed is not None, "every go.mod has such a line"
    wanted = int(needed[1]), int(needed[2])
    remedy = f"install Go {wanted[0]}.{wanted[1]} or newer (https://go.dev/dl), or set {variable} to the program"
    if shutil.which("go") is None:
        raise CannotBuild(f"{module.name} cannot be built, Go is not on PATH: {remedy}")
    said = _go(["env", "-json", "GOVERSION", "GOOS", "GOARCH"], module.folder)
    found = json.loads(said.stdout) if said.returncode == 0 else {}
    version = str(found.get("GOVERSION", ""))
    number = re.match(r"go(\d+)\.(\d+)", version)
    if number is None or (int(number[1]), int(number[2])) < wanted:
        raise CannotBuild(f"{module.name} cannot be built, {version or 'this Go'} is too old: {remedy}")
    return f"{version} {found['GOOS']}/{found['GOARCH']}"


def _key(module: Module, toolchain: str) -> str:
    digest = hashlib.sha256(" ".join([toolchain, *_OPTIONS]).encode())
    for path in sorted(path for path in module.folder.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time; the lock of one that was killed is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(module: Module, folder: Path) -> None:
    """Build into a folder beside, and rename that when all is there."""
    print(f"stack: building {module.name} with Go; this takes minutes, once", file=sys.stderr, flush=True)
    began = time.monotonic()
    beside = folder.with_suffix(".part")
    shutil.rmtree(beside, ignore_errors=True)  # one that was killed has left it
    beside.mkdir()
    done = _go(["build", *_OPTIONS, "-o", f"{beside}{os.sep}", module.packages], module.folder)
    if done.returncode:
        shutil.rmtree(beside)
        said = "\n".join(done.stderr.strip().splitlines()[-_SHOWN:])
        raise StackError(f"{module.name} cannot be built:\n{said}")
    beside.rename(folder)
    print(f"stack: {module.name} built in {time.monotonic() - began:.0f} s, in {folder}", file=sys.stderr, flush=True)


def _go(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Go as it is installed, with the versions that are pinned."""
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    return subprocess.run(
        ["go", *words], cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
