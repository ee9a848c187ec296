"""No secret of a loop is in any signal, journal, log, report or page: real loops of every kind, every byte."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from canaries import CANARIES, EMBEDDED, Taken, files, hook_inputs, leaks, network, project

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OURS = str(Path(sys.executable).parent / "ralph-otel")


@dataclass
class Place:
    """A project full of secrets, and all that comes out of the loops in it."""

    project: Path
    home: Path
    out: Path
    taken: Taken
    said: list[tuple[str, bytes]] = field(default_factory=list)
    """What our processes have printed, by what printed it."""

    def run(self, what: str, *command: str, given: bytes = b"", more: Mapping[str, str] | None = None) -> bytes:
        """Run a command in the project; what it printed to its standard output."""
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(self.project / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "RALPH_OTEL_HOME": str(self.home),
            "TMPDIR": str(self.out / "tmp"),
            "SOME_SECRET": CANARIES["environment"],
            "ANTHROPIC_API_KEY": CANARIES["apikey"],
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={CANARIES['header']}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.taken.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "RALPH_OTEL_EXPORT_FORMAT": "prometheus,otlp,console,json,statsd",
            "RALPH_OTEL_EXPORT_TARGET": f"prometheus={self.out}/m.prom,console={self.out}/console,"
            f"json={self.out}/j.json,statsd={self.taken.statsd}",
            "RALPH_OTEL_COLLECTION_INTERVAL": "200ms",
            "FAIL": "1",
            **(more or {}),
        }
        done = subprocess.run(
            command, cwd=self.project, input=given, capture_output=True, env=environment, timeout=100, check=False
        )
        self.said.append((f"{what} (standard error)", done.stderr))
        return done.stdout

    def ours(self, *arguments: str) -> bytes:
        """Run a command that prints nothing but what is ours; what it printed."""
        printed = self.run(" ".join(arguments[:1]), OURS, *arguments)
        self.said.append((" ".join(arguments), printed))
        return printed


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Iterator[Place]:
    with network() as taken:
        out = tmp_path / "out"
        (out / "tmp").mkdir(parents=True)
        yield Place(project(tmp_path / "project"), home, out, taken)


def run_loops(place: Place) -> None:
    """A loop of every kind."""
    agent = ("claude", "-p", "--output-format", "stream-json", "--append", CANARIES["argument"])
    test = f"echo {CANARIES['testoutput']}; echo '1 failed, 2 passed'; : {CANARIES['testcommand']}; false"
    place.run("loop", OURS, "loop", "-n", "2", "--name", "loop-seen", "--test", test, "--", *agent)
    place.run("script", OURS, "run", "-v", "--", "bash", "loop.sh", CANARIES["commandline"])
    place.run("ralphify", OURS, "run", "-v", "--", "ralph", "run", "my", "-n", "1")
    scrape, figures = str(place.out / "scrape"), str(place.out / "figures")
    address = f"prometheus=127.0.0.1:0,statsd={place.taken.statsd}"
    place.run("embedded", sys.executable, "-c", EMBEDDED, scrape, figures, more={"RALPH_OTEL_EXPORT_TARGET": address})
    for event in hook_inputs(place.project):
        place.run("hook", OURS, "hook", given=event)
    run = place.run("emit", OURS, "emit", "loop.started", "name=loop-seen").decode().strip()
    place.run("emit", OURS, "emit", "tool.called", "tool=ToolSeen", "outcome=success", "--run", run)
    place.run("emit", OURS, "emit", "loop.stopped", "reason=completed", "--run", run)


def look_at_them(place: Place) -> None:
    """Every view and every way out of a journal."""
    place.ours("runs")
    place.ours("runs", "--json")
    place.ours("top", "--once")
    place.ours("doctor")
    journals = sorted((place.home / "runs").glob("*.jsonl"))
    for journal, format_ in zip(journals, itertools.cycle(("html", "markdown", "json")), strict=False):
        place.ours("report", journal.stem, "--format", format_)
    ended = next(journal.stem for journal in journals if b"loop.stopped" in journal.read_bytes())
    place.ours("replay", ended, "--to", place.taken.url, "--again")
    place.ours("stream", ended, "--events")
    for format_ in ("prometheus", "json", "statsd", "console", "otlp"):
        place.ours("export", "latest", "--format", format_)


def test_no_secret_is_in_any_byte_that_is_ours(place: Place) -> None:
    run_loops(place)
    look_at_them(place)
    found: dict[str, list[str]] = {}
    terminal = ("stderr", "testoutput")  # what agents and tests print themselves is passed on to the terminal
    everything = {
        **{f"the network, {n}": body for n, body in enumerate(place.taken.bodies + place.taken.datagrams)},
        **files(place.home),
        **files(place.out),
    }
    for where, content in everything.items():
        found[where] = leaks(content)
    for where, content in (*place.said, *((f"head {n}", head) for n, head in enumerate(place.taken.heads))):
        found[where] = found.get(where, []) + leaks(content, (*terminal, "header") if "head" in where else terminal)
    assert {where: canaries for where, canaries in found.items() if canaries} == {}
    assert_something_was_there(place, everything)


def assert_something_was_there(place: Place, everything: dict[str, bytes]) -> None:
    """The same search finds what may be seen, in each of the places."""
    network_ = b"".join(place.taken.bodies)
    journals = sorted((place.home / "runs").glob("*.jsonl"))
    assert len(journals) == 6
    assert all(b"ToolSeen" in path.read_bytes() for path in journals)
    places = {
        "network": network_,
        "statsd": b"".join(place.taken.datagrams),
        "scrape": everything[str(place.out / "scrape")],
        "textfile": everything[str(place.out / "m.prom")],
        "console": everything[str(place.out / "console")],
        "printed": b"".join(content for _, content in place.said),
    }
    for where, content in places.items():
        assert b"model-seen" in content, where
    assert b"total_iterations" in everything[str(place.out / "j.json")]
    assert CANARIES["header"].encode() in b"".join(place.taken.heads)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_cannot_be_sent_is_said_without_tokens_and_passwords(place: Place, protocol: str) -> None:
    """Nothing listens: errors, notices and doctor name the endpoint, not what is secret in it."""
    word = CANARIES["userinfo"]
    nowhere = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:{word}@127.0.0.1:1/path-{word}?k={word}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "RALPH_OTEL_EXPORT_FORMAT": "otlp",
        "RALPH_OTEL_EXPORT_TARGET": "",
    }
    printed = place.run("embedded", sys.executable, "-c", EMBEDDED, "x", str(place.out / "figures"), more=nowhere)
    printed += place.run("loop", OURS, "loop", "-n", "1", "--", "claude", more=nowhere).partition(b"{")[0]
    doctor = place.run("doctor", OURS, "doctor", more=nowhere)
    assert b"127.0.0.1:1" in doctor
    assert leaks(doctor + printed) == []
    for where, content in (*place.said, *files(place.home).items()):
        assert leaks(content, ("stderr",)) == [], (where, content)
