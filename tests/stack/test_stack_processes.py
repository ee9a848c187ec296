"""Programs beside us: ready when `start` returns, gone when `stop` does or we are; a failure shows the log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from stack.errors import Refused, StackError
from stack.ports import HOST, free_port
from stack.processes import Process
from stack.web import answers, get, get_json

from support.waiting import until

SERVER = """
import http.server, signal, sys
{first}
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def server(folder: Path, first: str = "", patience: float = 15.0) -> Process:
    port = free_port()
    command = [sys.executable, "-c", SERVER.format(first=first), str(port)]
    return Process("server", command, folder, f"http://{HOST}:{port}/", patience=patience)


def test_it_is_ready_when_start_returns_and_gone_when_stop_does(tmp_path: Path) -> None:
    process = server(tmp_path)
    with process:
        pid = process.pid
        assert os.getpgid(pid) == pid
    assert not process.running
    assert not psutil.pid_exists(pid)
    assert "serving" in process.log.read_text()


def test_it_can_be_started_again_and_its_log_goes_on(tmp_path: Path) -> None:
    process = server(tmp_path)
    for _ in range(2):
        process.start()
        process.kill()
    assert process.log.read_text().count("serving") == 2
    process.stop()


def test_one_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    process = server(tmp_path, "sys.exit('the port is taken')")
    with pytest.raises(StackError, match=r"server ended at once, code 1; the end of .*server\.log:\nthe port is taken"):
        process.start()
    assert not process.running


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    process = server(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", patience=0.2)
    with process:
        pid = process.pid
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_it_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    port = free_port()
    code = f"""
import signal, time
from pathlib import Path
from stack.processes import Process
process = Process("server", [{sys.executable!r}, "-c", {SERVER.format(first="")!r}, "{port}"], Path({str(tmp_path)!r}),
    "http://{HOST}:{port}/")
process.start()
print(process.pid, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert answers(f"http://{HOST}:{port}/")
        parent.send_signal(signal.SIGKILL)
    until(lambda: not lives(pid), what="for the end of what a killed process has started")


def lives(pid: int) -> bool:
    """Whether a process has not ended, be it that nobody asks how."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_preferred_port_is_taken_if_it_is_free_and_else_the_next_that_is() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        assert taken < (found := free_port(taken)) < taken + 100
        assert free_port(found) != found


def test_an_answer_that_is_no_answer_says_which_url_and_why(tmp_path: Path) -> None:
    with server(tmp_path) as process:
        (tmp_path / "some.json").write_text('{"a": 1}')
        port = psutil.Process(process.pid).cmdline()[-1]
        assert get_json(f"http://{HOST}:{port}/some.json") == {"a": 1}
        with pytest.raises(Refused, match="answers 404") as refused:
            get(f"http://{HOST}:{port}/none", {"a": "b c"})
        assert refused.value.status == 404
    with pytest.raises(StackError, match="does not answer"):
        get(f"http://{HOST}:{port}/")
