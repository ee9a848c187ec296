"""`ralph-otel enable`: a file in a Python environment, by which the runners in it register themselves at every start.

The file's name ends in `.pth`, so every Python of that environment executes its one line as it starts. That line takes
what `ralph-otel run` puts into a runner, from where ralph-otel is installed (`ralph_otel.inject`). In a Python that is
older than 3.9, below a `ralph-otel run`, and where ralph-otel has been removed, it does nothing; it never raises.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ralph_otel import runners
from ralph_otel.files import write_atomically
from ralph_otel.runners.launched import INJECTED, VARIABLE

NAME = "ralph_otel_enabled.pth"
"""The name of the file."""
OLDEST = (3, 9)
"""The oldest Python that a runner may have."""
_HEAD = "# Put here by `ralph-otel enable`; `ralph-otel disable` removes it.\n"
_CODE = """
import sys
if sys.version_info >= {oldest} and (sys.flags.ignore_environment or {variable} not in __import__('os').environ):
    try:
        sys.path.insert(0, {folder})
        try:
            __import__('ralph_otel_hook').install({modules}, {recorder})
        finally:
            sys.path.remove({folder})
    except Exception:
        pass
"""
_ASK = """
import json, site, sys, sysconfig
from importlib import metadata
there = {}
for name in sys.argv[1:]:
    try:
        there[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
paths = [path for path in [sysconfig.get_path("purelib")] + site.getsitepackages() if path in sys.path]
print(json.dumps([list(sys.version_info[:3]), sys.prefix, paths, there]))
"""
_TRY = "import sys; print(any(type(finder).__module__ == 'ralph_otel_hook' for finder in sys.meta_path))"
_TIMEOUT = 30.0
_FIRST_LINES = 1024
_PYTHON = re.compile(r"(python|pypy)[0-9.]*(\.exe)?")


class EnablingError(Exception):
    """It cannot be done; the text says why, and what would do."""


@dataclass(frozen=True)
class Environment:
    """A Python environment.

    Args:
        python: its interpreter.
        prefix: its folder.
        folder: where its packages are.
        runners: the runners that are there and have an adapter, and the version of each.
    """

    python: str
    prefix: Path
    folder: Path
    runners: dict[str, str]

    @property
    def file(self) -> Path:
        """The file that makes runners register themselves."""
        return self.folder / NAME


def content() -> bytes:
    """What the file holds: ASCII, and one line of code that Python 2.7 understands as well."""
    code = _CODE.format(
        oldest=OLDEST,
        variable=ascii(VARIABLE),
        folder=ascii(INJECTED),
        modules=ascii(",".join(runners.modules())),
        recorder=ascii(sys.executable),
    )
    return f"{_HEAD}import sys; exec({code!a})\n".encode("ascii")


def environment(given: str | None) -> Environment:
    """The environment that is meant.

    Args:
        given: a path of a Python, of an environment's folder, or of a command whose first line names its Python; or a
            command's name. None: the environment that ralph-otel is installed in.

    Raises:
        EnablingError: there is no Python by it, or one that is too old.
    """
    python = sys.executable if given is None else _python_of(given)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        question = [python, "-c", _ASK, *(runner.distribution for runner in runners.RUNNERS)]
        asked = subprocess.run(question, env=clean, capture_output=True, timeout=_TIMEOUT, check=True)
        version, prefix, folders, there = json.loads(asked.stdout.splitlines()[-1])
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it does not answer as a Python 3.9 does"
        raise EnablingError(f"{python}: {reason}; name another with --python") from None
    if tuple(version) < OLDEST:
        raise EnablingError(f"{python} is Python {'.'.join(map(str, version))}; runners need Python 3.9 or newer")
    if not folders:
        raise EnablingError(f"{python} has no folder for packages; name another with --python")
    return Environment(python, Path(prefix), Path(folders[0]), there)


def _python_of(given: str) -> str:
    path = Path(given).expanduser()
    found = shutil.which(given) if os.sep not in given else None  # a folder here may have a command's name
    if found is None and path.is_dir():
        for candidate in (path / "bin" / "python", path / "Scripts" / "python.exe"):
            if candidate.exists():
                return str(candidate.absolute())
        raise EnablingError(f"{given} is a folder without bin/python; name that of an environment, or a Python")
    if found is None and not path.exists():
        raise EnablingError(f"there is no {given}, neither as a path nor on PATH; name a Python, or a runner's command")
    path = Path(found or path).absolute()
    return str(path) if _PYTHON.fullmatch(path.name) else _interpreter(str(path))


def _interpreter(command: str) -> str:
    """The Python that executes a command: the one that its first line names, or a shell's line by pip for long paths.

    Raises:
        EnablingError: it names none.
    """
    try:
        with Path(command).open("rb") as file:
            first, second, *_ = [*file.read(_FIRST_LINES).decode(errors="surrogateescape").splitlines(), "", ""]
    except OSError as error:
        raise EnablingError(f"{command}: {error.strerror}") from None
    words: list[str] = []
    with contextlib.suppress(ValueError):
        words = shlex.split(second.replace("'''exec'", "exec")) if second.startswith("'''exec'") else []
        words = words[1:] or shlex.split(first.removeprefix("#!")) * first.startswith("#!")
    if words and Path(words[0]).name == "env":
        words = [shutil.which(word) or word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if not words or not _PYTHON.fullmatch(Path(words[0]).name):
        raise EnablingError(
            f"{command} is no Python, and its first line names none; name the Python of its environment"
        )
    return words[0]


def enable(where: Environment, home: Path) -> bool:
    """Have the runners of an environment register themselves.

    Args:
        where: the environment.
        home: the folder in which is noted where this has been done.

    Returns:
        Whether that was not so before.

    Raises:
        EnablingError: the file cannot be written, or that Python does not read it.
    """
    new = not _holds(where.file, content())
    if new:
        try:
            write_atomically(where.file, content(), 0o644)
        except OSError as error:
            raise EnablingError(f"cannot write {where.file}: {error.strerror}; is it your environment?") from None
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    tried = subprocess.run([where.python, "-c", _TRY], env=clean, capture_output=True, timeout=_TIMEOUT, check=False)
    if tried.stdout.strip() != b"True":
        raise EnablingError(f"{where.python} does not execute {where.file}; is it started with -S, or by another user?")
    _note(home, {**noted(home), str(where.file): where.python})
    return new


def disable(where: Environment, home: Path) -> bool:
    """Undo `enable`.

    Returns:
        Whether there was anything to undo.

    Raises:
        EnablingError: the file cannot be removed, or is somebody else's.
    """
    there = where.file.exists()
    try:
        if there and not where.file.read_bytes().startswith(_HEAD.encode()):
            raise EnablingError(f"{where.file} is not of `ralph-otel enable`; it stays")
        where.file.unlink(missing_ok=True)
    except OSError as error:
        raise EnablingError(f"cannot remove {where.file}: {error.strerror}") from None
    left = {file: python for file, python in noted(home).items() if file != str(where.file)}
    if left != noted(home):
        _note(home, left)
    return there


def _holds(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text
    except OSError:
        return False


def is_current(file: Path) -> bool:
    """Whether a file is as this ralph-otel would write it."""
    return _holds(file, content())


# -- where it has been done --------------------------------------------------------------------------------------------


def noted(home: Path) -> dict[str, str]:
    """The files that have been put somewhere and are still there, and the Python of each."""
    try:
        known = json.loads((home / "enabled.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    pairs = known.items() if isinstance(known, dict) else ()
    return {file: python for file, python in pairs if isinstance(python, str) and Path(file).exists()}


def _note(home: Path, known: dict[str, str]) -> None:
    with contextlib.suppress(OSError):  # then the doctor does not know
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(home / "enabled.json", json.dumps(known, indent=2).encode(), 0o600)
