"""`ralph-otel doctor` as a whole: its output, its exit code, and that it ends whatever its checks do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ralph_otel import doctor
from ralph_otel.doctor import CHECKS, Finding, Level, examine
from ralph_otel.doctor.findings import Subject, ok
from ralph_otel.notices import public
from support.ports import free_port, mute_server


def called(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a process of its own."""
    words = [sys.executable, "-c", "from ralph_otel.cli import main; main()", "doctor", *arguments]
    return subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)


@pytest.fixture(autouse=True)
def nobodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder without Claude Code's settings, and a port that is free."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", f"prometheus=127.0.0.1:{free_port()}")


def test_a_sound_machine_has_no_problem_and_every_check_has_something_to_say() -> None:
    done = called()
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert last == "0 problems, 0 warnings."
    assert {line.split()[0] for line in lines} == {"ok"}
    named = {line.split()[1].rstrip(":") for line in lines}
    assert named == {name for name, _ in CHECKS} - {"statsd", "files"}  # which are not configured


def test_json_is_an_object_with_the_findings() -> None:
    done = called("--json", RALPH_OTEL_PREFIX="0", RALPH_OTEL_NONSENSE="1")
    assert (done.returncode, done.stderr) == (1, "")
    document: dict[str, Any] = json.loads(done.stdout)
    assert (document["problems"], document["warnings"]) == (1, 1)
    levels = [finding["level"] for finding in document["findings"]]
    assert (levels.count("problem"), levels.count("warning")) == (1, 1)
    (found,) = [finding for finding in document["findings"] if finding["level"] == "problem"]
    assert (found["check"], found["text"][:22]) == ("configuration", "RALPH_OTEL_PREFIX: '0'")
    assert all(finding["remedy"] is None for finding in document["findings"] if finding["level"] == "ok")


def test_quiet_says_what_is_not_in_order_and_strict_counts_warnings_too() -> None:
    done = called("--quiet", RALPH_OTEL_NONSENSE="1")
    first, last = done.stdout.splitlines()
    assert (done.returncode, last) == (0, "0 problems, 1 warning.")
    assert first.startswith("warning variables: 'RALPH_OTEL_NONSENSE' means nothing")
    assert called("--quiet", "--strict", RALPH_OTEL_NONSENSE="1").returncode == 1
    assert called("--quiet", "--strict").stdout == "0 problems, 0 warnings.\n"


def test_a_problem_is_one_line_with_its_remedy_and_the_exit_code_is_one() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    done = called(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert (done.returncode, done.stderr) == (1, "")
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem ")]
    assert len(problems) == 3
    assert problems[0] == (
        f"problem otlp: metrics by http/protobuf to {endpoint}/v1/metrics: nothing listens there → "
        "start a Collector or another receiver, or mend the address"
    )
    assert done.stdout.splitlines()[-1] == "3 problems, 0 warnings."


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_endpoint_that_never_answers_does_not_hold_it_up(protocol: str) -> None:
    with mute_server() as port:
        begin = time.monotonic()
        done = called(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="60",
        )  # fmt: skip
    assert time.monotonic() - begin < 45
    assert done.stdout.count("no answer within 4s") == 3


SECRETS = {
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20sesame,sesame",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "sesame",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:sesame@127.0.0.1:{port}/receiver/sesame-sesame-sesame-sesame?key=sesame",
    "OTEL_RESOURCE_ATTRIBUTES": "token=sesame",
    "OTEL_SOMETHING_NEW": "sesame",
    "RALPH_OTEL_EXPORT_TARGET": "otlp=http://user:sesame@127.0.0.1:{port}?key=sesame,statsd=x:sesame@127.0.0.1:1",
    "RALPH_OTEL_COLLECTION_INTERVAL": "http://user:sesame@127.0.0.1/",
}


def test_no_secret_is_shown() -> None:
    port = str(free_port())
    variables = {name: value.format(port=port) for name, value in SECRETS.items()}
    done = called(**variables, RALPH_OTEL_EXPORT_FORMAT="otlp,statsd")
    assert "sesame" not in done.stdout + done.stderr
    assert "nothing listens there" in done.stdout
    assert "OTEL_EXPORTER_OTLP_HEADERS" in done.stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ("otlp=https://me:pw@h:1/x?k=v,statsd=h:8125", "otlp=https://…@h:1/x?…,statsd=h:8125"),
        ("https://h/abcdefghijklmnopqrstu/v1", "https://h/…/v1"),
        ("'me:pw@h:4317'", "…@h:4317'"),
        ("/home/me@work/x", "/home/me@work/x"),
        ("http://[::1", "(a URL that is none)"),
        ("nothing of the kind", "nothing of the kind"),
        ("target 'http://me:secretsecret…", "target 'http://…"),
        ("target 'http://me:1234567…", "target 'http://…"),
        ("retries exceeded with url: /k3y?token=x (Caused by …)", "retries exceeded with url: … (Caused by …)"),
        ("'http://h:4318'; mend it", "'http://h:4318'; mend it"),
    ],
)
def test_of_an_address_only_what_is_no_secret_is_public(text: str, shown: str) -> None:
    assert public(text) == shown


def test_nothing_that_a_terminal_obeys_is_in_a_finding() -> None:
    finding = Finding(Level.OK, "\x1b[31m\n", "\u202e")
    assert (finding.text, finding.remedy) == ("\\x1b[31m\\n", "\\u202e")


# -- checks that fail --------------------------------------------------------------------------------------------------


def sound(subject: Subject) -> Iterator[Finding]:
    yield ok("fine")


def faulty(subject: Subject) -> Iterator[Finding]:
    yield ok("so far")
    raise RuntimeError("\x1b broken")


def test_a_check_that_raises_is_a_problem_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (("faulty", faulty), ("sound", sound)))
    first, second = examine()
    assert [finding.level for finding in first.findings] == [Level.OK, Level.PROBLEM]
    assert first.findings[1].text == "the check failed: RuntimeError: '\\x1b broken'"
    assert [finding.text for finding in second.findings] == ["fine"]


def test_a_check_that_hangs_is_a_problem_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hanging(subject: Subject) -> Iterator[Finding]:
        yield ok("so far")
        end.wait(60)

    monkeypatch.setattr(doctor, "CHECKS", (("hanging", hanging), ("sound", sound)))
    begin = time.monotonic()
    first, second = examine(2)
    assert time.monotonic() - begin < 45
    end.set()
    assert [finding.text for finding in first.findings] == ["so far", "not done within 2s"]
    assert [finding.text for finding in second.findings] == ["fine"]
