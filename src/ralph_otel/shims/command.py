"""What stands in for an agent's command below `ralph-otel run`: starts the agent, and tells the launch of it.

Where the launch has gone, or the agent belongs to a loop that speaks for itself, this process becomes the agent, and
nothing is left of it. Otherwise it stays beside the agent, see `stand_in`. It never waits for the launch.

Every start of an agent executes this, so it imports only what starts fast: not `signal`, `socket`, `subprocess` or
`typing`. It runs from a private folder that holds a copy of this module, `stand_in` and `observer`, and nothing else of
ralph-otel: an agent may well remove the environment that ralph-otel is installed in.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal  # `signal` makes its enums first, which takes as long as all the rest

SHIMS = "ralph-otel-agents"
"""The name of the folder that stands first on PATH below a launch."""
INJECT = os.path.join("ralph_otel", "inject")  # noqa: PTH118 — pathlib takes its time, here and below
"""How the path of the folder ends that stands first on PYTHONPATH there."""
SOCKET, TRACE = "socket", "trace"
"""Files beside it: what the launch listens on, and the trace id and flags that its agents belong to."""
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
PASSED_ON: tuple[int, ...] = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGTSTP,
    signal.SIGCONT,
)
"""The signals that whoever is run gets when they are sent to the process that its callers have for it."""
STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
"""The signals by which a terminal stops a job."""
QUESTIONS = ("--version", "-v", "-V", "version", "--help", "-h", "help")
"""Arguments that, on their own, do not set an agent to work."""
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""What Python sets LC_CTYPE to, for itself and its children, where the locale is C."""


def main(name: str, installed: str, parsed: bool) -> NoReturn:
    """Be the agent's command, to its end.

    Args:
        name: the command's name.
        installed: where the real one was when the launch began.
        parsed: whether the launch understands this agent's output.
    """
    started = time.time_ns()
    passed_on = parsed and is_passed_on(1)
    fill_up()
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    folder = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    own = os.path.join(folder, SHIMS, name)  # noqa: PTH118
    environment = os.environ.copy()
    launched = clean(environment)
    path = find(name, environment.get("PATH"), own) or installed
    if environment.get("_") == own:
        environment["_"] = path
    command = [name, *sys.argv[1:]]
    # A runner that speaks for itself takes the launch out of its environment, and gives its agents a TRACEPARENT.
    inside = not launched and "TRACEPARENT" in environment
    trace, connection = ("", -1) if inside or is_question(command) else connect(folder)
    if connection < 0:
        become(path, command, environment)
    trace_id, flags = trace.split()
    span_id = os.urandom(8).hex()
    environment["TRACEPARENT"] = f"00-{trace_id}-{span_id}-{flags}"
    model = model_of(command) if parsed else ""
    from .stand_in import StandIn

    stand_in = StandIn(path, command, environment, connection, passed_on)
    stand_in.run([started, name, trace_id, span_id, os.getpid(), os.getppid(), model])


def fill_up() -> None:
    """Keep what we open off the standard files' numbers: one that our caller has closed is closed for the agent."""
    try:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(fd)
    except OSError:  # too many are open: then we shall not get a connection either
        pass


def clean(environment: dict[str, str]) -> bool:
    """Take out what the launch has put in, so that an agent, and what it starts, see what their user has set.

    Returns:
        Whether the launch was in it.
    """
    for variable, ours in (("PATH", os.sep + SHIMS), ("PYTHONPATH", os.sep + INJECT)):
        before = environment.get(variable)
        if before is not None and ours in before:
            entries = [entry for entry in before.split(os.pathsep) if not entry.rstrip(os.sep).endswith(ours)]
            environment[variable] = os.pathsep.join(entries)
            if not entries:
                del environment[variable]
    uncoerce(environment)
    return environment.pop("RALPH_OTEL_LAUNCH", None) is not None


def uncoerce(environment: dict[str, str]) -> None:
    """Take out what Python has put into it for itself."""
    if environment.get("LC_CTYPE") in COERCED and not was_set("LC_CTYPE"):
        del environment["LC_CTYPE"]


def was_set(variable: str) -> bool:
    """Whether a variable was set before Python came; True where that cannot be known."""
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
            return any(entry.startswith(variable.encode() + b"=") for entry in file.read().split(b"\0"))
    except OSError:
        return True


def find(name: str, path: str | None, own: str) -> str | None:
    """The command that would have been found without us, on a PATH that we are not on; None where none would."""
    ours = identity(own)
    for folder in path.split(os.pathsep) if path is not None else ():
        candidate = os.path.join(folder or os.curdir, name)  # noqa: PTH118
        found = identity(candidate)
        if found is not None and found != ours and os.access(candidate, os.X_OK):
            return candidate
    return None


def identity(path: str) -> tuple[int, int] | None:
    """What all names of a file have in common; None if there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def connect(folder: str) -> tuple[str, int]:
    """The launch's trace and flags, and a connection to it; "" and -1 if it has gone."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(os.path.join(folder, SOCKET))  # noqa: PTH118
        with open(os.path.join(folder, TRACE)) as file:  # noqa: PTH118, PTH123
            return file.read(), connection.detach()
    except OSError:
        connection.close()
        return "", -1


def become(path: str, command: list[str], environment: dict[str, str]) -> NoReturn:
    """Run the agent in place of this process."""
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        try:
            os.execve(path, command, environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            os.execve("/bin/sh", ["sh", path, *command[1:]], environment)
    except OSError as error:
        os._exit(cannot_run(command[0], error))


def cannot_run(name: str, error: OSError) -> int:
    """Say so, as a shell would. Returns its exit code for that."""
    missing = error.errno == errno.ENOENT
    line = f"{name}: {'command not found' if missing else error.strerror}\n"
    try:  # noqa: SIM105 — contextlib takes its time
        os.write(2, line.encode(errors="surrogateescape"))
    except OSError:
        pass
    return 127 if missing else 126


def is_question(command: list[str]) -> bool:
    """Whether a command only asks what it is called with: many scripts and runners do so before they begin."""
    return len(command) == 2 and command[1] in QUESTIONS


def model_of(command: list[str]) -> str:
    """The model that a command asks for, with the option that all known agents have; "" if it does not."""
    for word, following in zip(command, [*command[1:], ""]):  # noqa: B905 — Python 3.9 has no `strict`
        option, equals, value = word.partition("=")
        if option in ("--model", "-m"):
            return value if equals else following
    return ""


def is_passed_on(fd: int) -> bool:
    """Whether an agent's output goes through us: into a pipe, a file or /dev/null.

    It does not where it is closed, on a terminal or another device, or where the disk is full: that an agent cannot
    write is for the agent to notice.
    """
    try:
        status = os.fstat(fd)
        if stat.S_ISCHR(status.st_mode):
            return status.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
        if stat.S_ISREG(status.st_mode):
            disk = os.fstatvfs(fd)
            return disk.f_bavail > 0 or not disk.f_blocks  # no blocks: it does not say
    except OSError:
        return False
    return True
