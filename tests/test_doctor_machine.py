"""What the doctor says of the machine: configuration, ports, files, folders, journals, and what is installed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ralph_otel import journal
from ralph_otel.config import MetricsConfig
from ralph_otel.doctor import Finding, Level, configuration, endpoints, environment, examine, journals
from ralph_otel.doctor.findings import Check, Subject
from ralph_otel.exporters.prometheus import PrometheusServer
from ralph_otel.runners import RUNNERS
from ralph_otel.tracecontext import host_name
from support.ports import free_port, mute_server, taken
from support.tape import Tape

RALPHIFY = next(runner for runner in RUNNERS if runner.distribution == "ralphify")
GONE = 2**22 + 1
"""The number of no process."""


def found(check: Check) -> list[Finding]:
    """What a check finds here and now."""
    return list(check(Subject(MetricsConfig())))


def only(check: Check) -> Finding:
    """The one finding of a check."""
    (finding,) = found(check)
    return finding


def faults(check: Check) -> list[Finding]:
    """The findings of a check that are not ok."""
    return [finding for finding in found(check) if finding.level is not Level.OK]


# -- configuration -----------------------------------------------------------------------------------------------------


def configured() -> list[Finding]:
    """The findings on the configuration, as the whole doctor makes them."""
    (result,) = [result for result in examine() if result.check == "configuration"]
    return result.findings


def test_every_field_is_shown_with_where_its_value_came_from(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ralph-otel.toml").write_text('prefix = "my_loops"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "2500")
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "json,statsd")
    texts = [finding.text for finding in configured()]
    assert {text.partition(" ")[0] for text in texts} == set(MetricsConfig().sources)
    assert {
        "prefix = my_loops (ralph-otel.toml)", "collection_interval = 2.5 (OTEL_METRIC_EXPORT_INTERVAL)",
        "export_format = json,statsd (RALPH_OTEL_EXPORT_FORMAT)", "resources = true (default)",
        f"home = {home} (RALPH_OTEL_HOME)", "export_target = none (default)",
    } <= set(texts)  # fmt: skip


def test_a_value_that_will_not_do_is_a_problem_and_is_said_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RALPH_OTEL_COLLECTION_INTERVAL", "soon")
    first = configured()[0]
    assert first.level is Level.PROBLEM
    assert first.text.startswith("RALPH_OTEL_COLLECTION_INTERVAL: 'soon' will not do; it must be a duration")
    assert capfd.readouterr().err == ""


def test_a_protocol_that_will_not_do_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    assert configured()[0].text.startswith("OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' will not do")


def test_that_nothing_is_recorded_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    (finding,) = faults(configuration.fields)
    assert (finding.level, finding.text) == (
        Level.WARNING, "nothing is recorded: enabled is false (OTEL_SDK_DISABLED)",
    )  # fmt: skip


def test_a_variable_of_ours_that_means_nothing_is_named_with_the_nearest_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FROMAT", "otlp")
    monkeypatch.setenv("RALPH_OTEL_QQQQ", "1")
    assert [(finding.text, finding.remedy) for finding in faults(configuration.variables)] == [
        ("'RALPH_OTEL_EXPORT_FROMAT' means nothing", "did you mean RALPH_OTEL_EXPORT_FORMAT?"),
        ("'RALPH_OTEL_QQQQ' means nothing", "remove it"),
    ]


def test_every_variable_that_the_source_names_means_something() -> None:
    package = Path(configuration.__file__).parents[1]
    named = {name for path in package.rglob("*.py") for name in re.findall(r"\bRALPH_OTEL_[A-Z_]+", path.read_text())}
    fields = {f"RALPH_OTEL_{name.upper()}" for name in MetricsConfig().sources}
    assert named - {"RALPH_OTEL_"} <= fields | set(configuration.INTERNAL)


def test_of_headers_only_the_names_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame,x-tenant=sesame")
    texts = [finding.text for finding in found(configuration.variables)]
    assert texts == [
        "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS: authorization, x-tenant (values are not shown)",
    ]  # fmt: skip


def test_headers_that_cannot_be_read_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "sesame,x=1")
    (finding,) = faults(configuration.variables)
    assert finding.level is Level.PROBLEM
    assert "OTEL_EXPORTER_OTLP_LOGS_HEADERS: 1 of 2 headers cannot be read" in finding.text
    assert "sesame" not in finding.text


# -- Prometheus --------------------------------------------------------------------------------------------------------


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port, configured for the Prometheus endpoint."""
    number = free_port()
    monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", f"prometheus=127.0.0.1:{number}")
    return number


def test_a_free_port_is_ok(port: int) -> None:
    finding = only(endpoints.prometheus)
    assert (finding.level, finding.text) == (Level.OK, f"port {port} on 127.0.0.1 is free for the next loop")


def test_a_port_that_another_loop_has_is_a_warning(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_PATIENCE", 30.0)  # a busy machine's server takes its time
    server = PrometheusServer(lambda: None, port=port, last_port=port)
    try:
        finding = only(endpoints.prometheus)
    finally:
        server.close()
    assert (finding.level, finding.text) == (Level.WARNING, f"port {port} on 127.0.0.1 is taken by ralph-otel")


def test_a_port_that_somebody_else_has_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    with mute_server() as port:
        monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", f"prometheus=127.0.0.1:{port}")
        finding = only(endpoints.prometheus)
    assert finding.level is Level.PROBLEM
    assert finding.text == f"port {port} on 127.0.0.1: taken by something that speaks no HTTP"


def test_an_address_that_is_not_this_machines_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", "prometheus=192.0.2.1:9464")
    monkeypatch.setenv("RALPH_OTEL_WEB_INSECURE", "true")
    monkeypatch.setattr(endpoints, "_PATIENCE", 0.1)
    assert found(endpoints.prometheus)[-1].level is Level.PROBLEM


def test_without_a_target_the_first_free_port_is_named_and_those_that_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = free_port()
    monkeypatch.setattr(endpoints, "_PORTS", range(first, first + 1))
    assert only(endpoints.prometheus).text == f"port {first} on 127.0.0.1 is free for the next loop"
    monkeypatch.setattr(endpoints, "_PATIENCE", 0.1)
    with taken(first):
        finding = only(endpoints.prometheus)
    assert finding.level is Level.PROBLEM
    assert f"are all taken: {first} (something that speaks no HTTP)" in finding.text


@pytest.mark.parametrize("format_", ["none", "otlp"])
def test_what_is_not_configured_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, format_: str) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", format_)
    for check in (endpoints.prometheus, endpoints.statsd, endpoints.files):
        assert found(check) == []


# -- StatsD and files --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def statsd_server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        yield server


def test_a_statsd_server_gets_a_counter_that_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "statsd")
    with statsd_server() as server:
        monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", f"localhost:{server.getsockname()[1]}")
        monkeypatch.setattr(socket, "getaddrinfo", _ipv4_only(socket.getaddrinfo))
        finding = only(endpoints.statsd)
        assert server.recv(1000) == b"ralph_otel.doctor.test:1|c"
    assert finding.level is Level.OK
    assert " is 127.0.0.1; " in finding.text


def _ipv4_only(getaddrinfo: object) -> object:
    def resolve(host: str, port: int, family: int = 0, **options: int) -> object:
        return getaddrinfo(host, port, socket.AF_INET, **options)  # type: ignore[operator]  # the module's function

    return resolve


@pytest.mark.parametrize("target", ["nobody.invalid:8125", "no port:x", "127.0.0.1:{closed}"])
def test_a_statsd_server_that_is_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    with statsd_server() as server:
        closed = server.getsockname()[1]
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "statsd")
    monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", target.format(closed=closed))
    finding = only(endpoints.statsd)
    assert finding.level is Level.PROBLEM
    assert "RALPH_OTEL_EXPORT_TARGET" in finding.remedy


@pytest.mark.parametrize("format_", ["json", "console", "prometheus"])
def test_a_file_that_metrics_go_to_must_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", format_)
    for path, level in (
        (tmp_path / "m.prom", Level.OK),
        (tmp_path / "no" / "m.prom", Level.PROBLEM),
    ):
        monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", str(path))
        finding = only(endpoints.files)
        assert finding.level is level
        assert str(path) in finding.text
    assert not (tmp_path / "m.prom").exists()


# -- the home folder ---------------------------------------------------------------------------------------------------


def make_home(home: Path) -> Path:
    """The folder of the journals, as the first run makes it."""
    journal.create_folder(home / "runs")
    return home / "runs"


def test_a_home_that_is_not_there_yet_is_made_by_the_first_run(home: Path) -> None:
    assert only(journals.folder).text == f"{home} is not there yet; the first run makes it"
    assert not home.exists()


def test_a_private_home_with_private_journals_is_ok(home: Path) -> None:
    journal.Journal(make_home(home) / "r.jsonl").close()
    finding = only(journals.folder)
    assert finding.level is Level.OK
    assert finding.text == f"{home}: 1 journals, 0 B of 1 GiB, readable by nobody else"


def test_what_others_may_read_is_a_warning_with_the_command_that_mends_it(home: Path) -> None:
    runs = make_home(home)
    home.chmod(0o777)
    runs.chmod(0o755)
    for name in "abcd":
        (runs / f"{name}.jsonl").touch(0o644)
    assert [(finding.text, finding.remedy) for finding in faults(journals.folder)] == [
        (f"{home} is open to others (0777)", f"chmod 755 {home}"),
        (f"{runs} is open to others (0755)", f"chmod 700 {runs}"),
        ("4 journals (a.jsonl, b.jsonl, c.jsonl, …) are open to others", f"chmod 600 {runs}/*.jsonl"),
    ]


def test_a_home_that_is_a_file_is_a_problem(home: Path) -> None:
    home.write_text("no folder")
    assert [finding.level for finding in faults(journals.folder)] == [Level.PROBLEM]


def test_a_home_that_depends_on_the_working_directory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_HOME", "telemetry")
    (finding,) = faults(journals.folder)
    assert finding.text == "telemetry depends on the folder one is in"


def test_that_no_journal_is_kept_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_JOURNAL", "no")
    assert only(journals.folder).text == "no journals are kept (RALPH_OTEL_JOURNAL)"


@pytest.mark.parametrize(
    ("free", "level"), [(50 << 20, Level.PROBLEM), (500 << 20, Level.WARNING), (5 << 30, Level.OK)]
)
def test_little_space_is_said_in_time(monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1 << 40, 0, free))
    assert only(journals.space).level is level


# -- journals ----------------------------------------------------------------------------------------------------------


def write(home: Path, run: str, tape: Tape) -> Path:
    return tape.write(home / "runs" / f"{run}.jsonl")


def test_without_journals_there_is_nothing_to_say() -> None:
    assert only(journals.contents).text == "none yet"


def test_sound_journals_are_counted(home: Path) -> None:
    write(home, "a", Tape(run="a").add(1, "loop.stopped", reason="completed"))
    write(home, "b", Tape(run="b", pid=os.getpid(), host="elsewhere"))
    assert only(journals.contents).text == "the newest 2 read, 1 without an end that may still run"


def test_lines_that_cannot_be_used_are_counted_with_the_first_reason(home: Path) -> None:
    path = write(home, "a", Tape(run="a").add(1, "loop.stopped", reason="completed"))
    path.write_bytes(path.read_bytes() + b"\x1b[31m\n{}\n")
    (finding,) = faults(journals.contents)
    assert finding.level is Level.WARNING
    assert finding.text.startswith("a.jsonl: 2 lines cannot be used: not a line of JSON: ")
    assert "\x1b" not in finding.text


def test_runs_that_died_are_named(home: Path) -> None:
    write(home, "a", Tape(run="a", pid=GONE, host=host_name()).iteration(1, 1))
    (finding,) = faults(journals.contents)
    assert (finding.level, finding.text) == (Level.WARNING, "1 run (a) is dead without an end")
    assert len((home / "runs" / "a.jsonl").read_text().splitlines()) == 3  # it is for others to write the end


def test_finished_runs_that_no_endpoint_knows_are_named_where_otlp_is_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in "abc":
        tape = Tape("", run).add(0, "loop.started", name="n", span="00000000000000aa")
        write(home, run, tape.add(1, "loop.stopped", reason="completed"))
    (home / "delivered" / "collector_4318").mkdir(parents=True)
    (home / "delivered" / "collector_4318" / "b").write_text("00000000000000aa\n")
    assert faults(journals.contents) == []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    (finding,) = faults(journals.contents)
    assert finding.text == "2 finished runs (c, a) are not known to any OTLP endpoint"
    assert finding.remedy == "ralph-otel replay RUN --to ENDPOINT"


def test_a_journal_that_cannot_be_read_is_a_problem(home: Path) -> None:
    path = write(home, "a", Tape(run="a").add(1, "loop.stopped", reason="completed"))
    (path.parent / "b.jsonl").symlink_to(path)
    (finding,) = faults(journals.contents)
    assert finding.level is Level.PROBLEM
    assert finding.text.startswith(f"{path.parent / 'b.jsonl'} cannot be read: ")


def test_many_and_long_journals_are_read_for_a_bounded_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in "abc":
        write(home, run, Tape(run=run).add(1, "loop.stopped", reason="completed"))
    monkeypatch.setattr(journals, "_SECONDS", -1.0)
    assert only(journals.contents).text == "none could be read in time"
    monkeypatch.setattr(journals, "_SECONDS", 60.0)
    monkeypatch.setattr(journals, "_NEWEST", 2)
    assert only(journals.contents).text.startswith("the newest 2 read")


# -- what is installed -------------------------------------------------------------------------------------------------


def test_python_and_the_packages_are_named() -> None:
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}." in only(environment.python).text
    finding = only(environment.packages)
    assert finding.level is Level.OK
    assert "sdk 1." in finding.text


def test_packages_that_do_not_go_together_are_named_with_what_mends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    version = environment._version

    def other(distribution: str) -> str | None:
        return {"opentelemetry-api": "1.2.0", "ddsketch": None}.get(distribution, version(distribution))

    monkeypatch.setattr(environment, "_version", other)
    texts = [(finding.text, finding.remedy) for finding in faults(environment.packages)]
    for needs in ("ralph-otel", "opentelemetry-sdk"):
        (said,) = [text for text, _ in texts if text.startswith(f"{needs} needs opentelemetry-api")]
        assert said.endswith(", which is 1.2.0")
    missing = [pair for pair in texts if "ddsketch" in pair[0]]
    assert len(missing) == 1
    assert missing[0][0].endswith(", which is missing")
    assert missing[0][1].startswith("pip install 'ddsketch")


@pytest.mark.parametrize(
    ("tested", "level", "said"),
    [(("0.3.0",), Level.OK, "ralphify 0.3.0: a version that is tested"), (("9.9",), Level.WARNING, "not a tested")],
)
def test_runners_are_named_and_whether_their_version_is_tested(
    monkeypatch: pytest.MonkeyPatch, tested: tuple[str, ...], level: Level, said: str
) -> None:
    monkeypatch.setattr(environment, "RUNNERS", (replace(RALPHIFY, tested=tested),))
    finding = only(environment.runners)
    assert finding.level is level
    assert said in finding.text


def test_without_a_runner_it_says_that_they_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "RUNNERS", (replace(RALPHIFY, distribution="no-such-runner"),))
    assert only(environment.runners).text.startswith("none of no-such-runner here")


def test_agents_on_the_path_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(environment.agents).text == "none of claude, codex, gemini, opencode on the PATH"
    (tmp_path / "codex").write_text("#!/bin/sh\n")
    (tmp_path / "codex").chmod(0o755)
    assert only(environment.agents).text == f"codex ({tmp_path / 'codex'})"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a user's Claude Code settings, which is not there yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "user" / ".claude").mkdir(parents=True)
    return tmp_path / "user" / ".claude" / "settings.json"


def test_hooks_that_are_installed_are_named_with_their_events(settings: Path) -> None:
    from ralph_otel.hooks.settings import command, install

    assert only(environment.hooks).text.startswith("Claude Code: not installed; ")
    install(settings, command(portable=True))
    texts = [finding.text for finding in found(environment.hooks)]
    assert texts[0].startswith(f"Claude Code: installed in {settings} for SessionStart, ")


def test_hooks_whose_command_is_not_on_the_path_are_a_warning(
    settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hook = {"type": "command", "command": "ralph-otel hook"}
    settings.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [hook]}]}}))
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = faults(environment.hooks)
    assert "which is not on the PATH" in finding.text


@pytest.mark.parametrize("content", ["{", "[]", '{"hooks": []}', "", "[" * 100_000])
def test_settings_that_are_not_what_they_should_be_do_no_harm(settings: Path, content: str) -> None:
    settings.write_text(content)
    broken = (content.startswith("{") and not content.endswith("}")) or len(content) > 10_000
    assert bool(faults(environment.hooks)) == broken
