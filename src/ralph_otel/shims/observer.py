"""The process beside an agent's stand-in, in the same process group.

It passes the agent's output on where that is to be read, tells which signals the whole group got, tells the launch what
happens, and ends the agent when the stand-in is killed: whoever kills that process means the agent. It outlives both
only where something that the agent has left behind still writes into the output.

The launch is told on a Unix socket, in frames: `<kind> <time> <length>` on a line of its own, then so many bytes.
`started`, `ended` and `killed` carry values between NULs, `output` a piece of the agent's output. A launch that is slow
to take them holds up nobody.
"""

from __future__ import annotations

import os
import select
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal

DONE = b"\0"
"""What the observer says when it is there, and when all output has been passed on; signals have other numbers."""
CHUNK = 1 << 16
WAITING = 8 << 20
"""The most bytes of output that wait for the launch to take them; what comes then it does not get."""


def observe(control: int, reports: int, output: int, connection: int, numbers: list[int]) -> NoReturn:
    """Be the observer, to its end.

    Args:
        control: where the stand-in says what the launch is to be told; its end is the stand-in's.
        reports: where the stand-in is told the numbers of signals, and `DONE`.
        output: the agent's output, or -1.
        connection: the connection to the launch.
        numbers: the signals to tell of.
    """
    try:
        close_all_but({control, reports, output, connection, 1 if output >= 0 else -1})
        os.set_blocking(reports, False)
        signal.set_wakeup_fd(reports, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        os.write(reports, DONE)
        Observer(control, reports, output, connection).run()
    finally:
        os._exit(0)


class Observer:
    """The process beside the stand-in. Of its file descriptors, -1 is one that it has closed, or never had."""

    def __init__(self, control: int, reports: int, output: int, connection: int) -> None:
        self.control = control
        self.reports = reports
        self.output = output
        self.connection = connection
        self.agent = 0
        self.started = False
        self.ended = False
        self.pending = bytearray()
        self.reader_shows = output >= 0 and stat.S_IFMT(os.fstat(1).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK)

    def run(self) -> None:
        """Go on until the stand-in has gone, the output has ended, and the launch has been told everything."""
        while self.control >= 0 or self.output >= 0 or self.pending:
            ready = self.wait()
            if self.control in ready:
                self.obey()
            elif self.output in ready:
                self.pass_on()
            elif 1 in ready:  # nobody reads our output any more: so shall it be for the agent
                self.close_output()
            if self.connection in ready:
                self.send()

    def wait(self) -> set[int]:
        """Wait until there is something to do. Returns the file descriptors that are ready."""
        poll = select.poll()
        reads = self.started and self.output >= 0
        for fd, events in (
            (self.control, select.POLLIN),
            (self.output if reads else -1, select.POLLIN),
            (1 if reads and self.reader_shows else -1, 0),
            (self.connection if self.pending else -1, select.POLLOUT),
        ):
            if fd >= 0:
                poll.register(fd, events)
        return {fd for fd, _ in poll.poll()}

    def pass_on(self) -> None:
        """Pass on a piece of the output, and tell the launch what it was."""
        data = os.read(self.output, CHUNK)
        if not data or not write(1, data):
            self.close_output()
        if data and not self.ended and len(self.pending) < WAITING:
            self.tell(frame("output", data))

    def close_output(self) -> None:
        """End with the output. The agent gets a broken pipe if it goes on."""
        close(self.output)
        self.output = -1

    def obey(self) -> None:
        """Take what the stand-in says: frames, each of them whole."""
        said = os.read(self.control, CHUNK)
        if not said:
            close(self.control)
            self.control = -1
            if not self.ended:
                self.killed()
        while said:
            header, _, rest = said.partition(b"\n")
            kind, _, length = header.split()
            size = len(header) + 1 + int(length)
            if kind == b"started":
                self.started = True
                self.agent = int(rest.split(b"\0", 1)[0])
                self.tell(said[:size])
            else:
                self.finish(said[:size])
                os.write(self.reports, DONE)
            said = said[size:]

    def killed(self) -> None:
        """The stand-in has been killed: so shall the agent be."""
        self.started = True  # there is no more to wait for
        if self.agent:
            try:  # noqa: SIM105 — contextlib takes its time
                os.kill(self.agent, signal.SIGKILL)
            except OSError:
                pass
            self.finish(frame("killed", b""))

    def finish(self, told: bytes) -> None:
        """The agent has ended: pass on what it has written. What others write into its output follows as it comes."""
        poll = select.poll()
        if self.output >= 0:
            poll.register(self.output, select.POLLIN)
        while self.output >= 0 and poll.poll(0):
            self.pass_on()
        self.ended = True
        self.tell(told)

    def tell(self, what: bytes) -> None:
        """Tell the launch, as soon as it takes it."""
        if self.connection >= 0:
            self.pending += what
            self.send()

    def send(self) -> None:
        """Send what waits, as far as the launch takes it now."""
        try:
            del self.pending[: os.write(self.connection, self.pending)]
        except BlockingIOError:
            pass
        except OSError:  # the launch has gone
            self.pending.clear()
            close(self.connection)
            self.connection = -1


def frame(kind: str, payload: bytes) -> bytes:
    """A frame, as of now."""
    return f"{kind} {time.time_ns()} {len(payload)}\n".encode() + payload


def write(fd: int, data: bytes) -> bool:
    """Write all of it, however long that takes. Returns whether it could be."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:  # whoever shares the file with us made it non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except OSError:
            return False
    return True


def close(fd: int) -> None:
    """Close a file descriptor, which may be closed already."""
    try:  # noqa: SIM105 — contextlib takes its time
        os.close(fd)
    except OSError:
        pass


def close_all_but(kept: set[int]) -> None:
    """Close what was inherited: whoever waits for the end of the agent's files must not wait for us."""
    try:
        inherited = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 — pathlib takes its time
    except OSError:
        inherited = list(range(256))
    for fd in inherited:
        if fd not in kept:
            close(fd)
