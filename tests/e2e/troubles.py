"""Loops in trouble, real ones, side by side, before rules that are as shipped but for their times.

    loops ──OTLP──▶ Collector ──▶ Prometheus with `ralph-otel mixin --set …` ◀── loops (scraped, or OTLP)
      └───OTLP──▶ a Collector whose backend is dead ──▶

What is scaled down are times alone: numbers of iterations, budgets and ratios are those of the defaults.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from backends import Backends
from roads import RECORDER, RUNNER
from stack.backends import SHIPPED, Collector, Prometheus
from stack.clients import PrometheusClient
from stack.ports import HOST, free_port
from stack.settings import prometheus_files

from ralph_otel.journal import decode, encode
from support.everything import script
from support.tape import Tape
from support.waiting import until

SETTINGS = {
    "interval": "2s",
    "patience": "0.05",
    "stuck_without_history": "20s",
    "stuck_floor": "20s",
    "gone_for": "30s",
}
"""Of `ralph-otel mixin --set`."""
_RETAINED = "yaml:exporters::otlp_grpc/jaeger::sending_queue: {sizer: requests, queue_size: 5}"
"""What the Collector without a backend keeps. Counted in bytes, a large request never fits into what is left."""
_SCRAPES = "2s"
"""Between scrapes: a machine that is busy with all this cannot always answer within one."""
EVERYTHING = "everything"
"""A loop that has something for every panel: the journal of `support.everything`."""
_TOOLS = Path(sys.executable).parent
_REPORT = '<testsuite><testcase name="a"/><testcase name="b">{}</testcase></testsuite>'
_RUN = ("ralph-otel", "run", "--name", "{name}", "--", "bash", "-c")
_FOR_EVER = "echo $$ > ../runner; while :; do claude < PROMPT.md; sleep 1; done"


def _loop(*options: str) -> tuple[str, ...]:
    """The embedded runner, which goes on for ever."""
    always = ("--quiet", "--delay", "1s", "--max-failures", "0", "--keep-going", "--name", "{name}")
    return ("ralph-otel", "loop", *always, *options, "--", "claude", "-p", "--output-format", "stream-json")


_TESTS = ("--junit", "../report.xml", "--test", "cp ../{} ../report.xml")
_PASSING = tuple(word.format("passing.xml") for word in _TESTS)
_FAILING = tuple(word.format("failing.xml") for word in _TESTS)


@dataclass(frozen=True)
class Trouble:
    """A loop, and what is wrong with it.

    Args:
        name: of the loop.
        command: how it is started; `{name}` stands for the name.
        alerts: those that must fire about it.
        agent: variables of `agent.sh`.
        git: whether it works in a git work tree; elsewhere progress is not measured.
        road: `collector`; `direct`, scraped; `prometheus`, OTLP straight into it; `dead end`, a Collector that cannot
            send on; `refusal`, a receiver that has no use for spans.
        killed: once Prometheus knows that it runs: `runner`, the process that its recorder watches; `all`.
    """

    name: str
    command: tuple[str, ...]
    alerts: tuple[str, ...] = ()
    agent: Mapping[str, str] = field(default_factory=dict)
    git: bool = True
    road: str = "collector"
    killed: str = ""


HEALTHY = Trouble("healthy", _loop(*_PASSING), agent={"EDITS": "1"})
"""Stands beside the others: nothing may fire about it."""
_LIMITED = ("bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *_loop())
"""Its files may have 8 KiB each: a disk that fills up."""
TROUBLES = (
    Trouble("hangs", _loop(), ("RalphIterationStuck",), {"SLEEP": "1000"}),
    Trouble("idles", _loop(), ("RalphNoProgress", "RalphLoopSpinning")),
    Trouble("fails", _loop(), ("RalphIterationsFailing",), {"CODE": "1"}, git=False),
    Trouble("breaks-tests", _loop(*_FAILING), ("RalphTestsFailing",), {"EDITS": "1"}),
    Trouble(
        "spends",
        _loop(),
        ("RalphRunOverBudget", "RalphDayOverBudget", "RalphCostSpike"),
        {"COST": "250.0", "EDITS": "1"},
    ),
    Trouble("reboots", _loop(), ("RalphRebootStorm", "RalphContextFillsFast"), {"CONTEXT": "92", "EDITS": "1"}),
    Trouble(
        "fills",
        _loop("--resume-args=--continue", "--redline", "100"),
        ("RalphContextFillsFast",),
        {"CONTEXT": "n < 15 ? 50 + 3 * n : 95", "EDITS": "1"},
    ),
    Trouble("crashes", (*_RUN, _FOR_EVER), ("RalphLoopCrashed",), killed="runner"),
    Trouble("crashes-scraped", (*_RUN, _FOR_EVER), road="direct", killed="runner"),
    Trouble("vanishes", (*_RUN, _FOR_EVER), ("RalphLoopVanished",), {"SLEEP": "1000"}, killed="all"),
    Trouble("vanishes-scraped", (*_RUN, _FOR_EVER), ("RalphLoopVanished",), road="direct", killed="all"),
    Trouble("vanishes-pushed", (*_RUN, _FOR_EVER), ("RalphLoopVanished",), road="prometheus", killed="all"),
    Trouble("forgets", _LIMITED, ("RalphTelemetryDropping",), {"EDITS": "1"}),
    Trouble("refused", _loop(), ("RalphTelemetryDropping",), {"EDITS": "1"}, road="refusal"),
    Trouble("unheard", _loop(), ("RalphCollectorQueueFull", "RalphCollectorDropping"), road="dead end"),
)
HEIR = Trouble("inherits", (*_RUN, _FOR_EVER), agent={"SLEEP": "1000"}, road="direct")
"""Starts on the port of the scraped loop that has vanished."""


@dataclass(frozen=True)
class Staged:
    """What runs, and how it is asked."""

    folder: Path
    backends: Backends
    prometheus_process: Prometheus
    dead_end: Collector

    @property
    def prometheus(self) -> PrometheusClient:
        """The Prometheus with the rules."""
        return PrometheusClient(self.prometheus_process.url)

    @property
    def home(self) -> Path:
        """`RALPH_OTEL_HOME` of all loops; those that are to be scraped are found there."""
        return self.folder / "home"

    def run_of(self, loop: str) -> str:
        """The id of a loop's run; "" until it has begun."""
        for journal in (self.home / "runs").glob("*.jsonl"):
            first, newline, _ = journal.read_bytes().partition(b"\n")  # a later line may be torn
            if newline and decode(first).get("name") == loop:
                return journal.stem
        return ""

    def address_of(self, loop: str) -> str:
        """Where a loop is scraped, host:port."""
        [target] = json.loads((self.home / "targets" / f"{self.run_of(loop)}.json").read_bytes())
        return str(target["targets"][0])

    def environment(self, road: str, **variables: str) -> dict[str, str]:
        """The environment that makes a loop send by a road."""
        roads = {
            "collector": {"OTEL_EXPORTER_OTLP_ENDPOINT": self.backends.collector.otlp},
            "dead end": {"OTEL_EXPORTER_OTLP_ENDPOINT": self.dead_end.otlp},
            "prometheus": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{self.prometheus_process.otlp}/v1/metrics"},
            "refusal": {
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.backends.collector.otlp,
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.prometheus_process.otlp}/v1/traces",
            },
            "direct": {"RALPH_OTEL_EXPORT_FORMAT": "prometheus", "RALPH_OTEL_EXPORT_TARGET": f"{HOST}:0"},
        }
        otlp = {"RALPH_OTEL_EXPORT_FORMAT": "otlp", "RALPH_OTEL_HOME": str(self.home)}
        return self.backends.environment(**{**otlp, **roads[road], **variables})


@contextmanager
def staged(folder: Path, backends: Backends) -> Iterator[Staged]:
    """All troubles, and the healthy loop, under way while the block runs."""
    with ExitStack() as stack:
        dead = {"JAEGER_ENDPOINT": f"{HOST}:{free_port()}"}
        dead_end = Collector(folder / "dead-end", [SHIPPED / "collector" / "laptop.yaml", _RETAINED], dead)
        prometheus = Prometheus(folder / "prometheus", folder / "files" / "prometheus.yaml")
        port = urlsplit(prometheus.url).port
        assert port is not None
        collectors = [backends.collector, dead_end]
        prometheus_files(folder / "files", port, folder / "home" / "targets", collectors, _SCRAPES)
        write_rules(folder / "files")
        stage = Staged(folder, backends, prometheus, dead_end)
        stack.enter_context(dead_end)
        stack.enter_context(prometheus)
        stack.enter_context(_everything(stage))
        started = [(trouble, stack.enter_context(_started(stage, trouble))) for trouble in (HEALTHY, *TROUBLES)]
        for trouble, process in started:
            if trouble.killed:
                _kill(stage, trouble, process)
        target = {"RALPH_OTEL_EXPORT_TARGET": stage.address_of("vanishes-scraped")}
        stack.enter_context(_started(stage, replace(HEIR, agent={**HEIR.agent, **target})))
        yield stage


def write_rules(folder: Path) -> None:
    """Put rules with the settings of this file in place of the shipped ones, as a user would."""
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    made = folder / "mixin"
    subprocess.run([_TOOLS / "ralph-otel", "mixin", "--output", made, *settings], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / "rules")
    shutil.move(made / "rules", folder / "rules")


@contextmanager
def _everything(stage: Staged) -> Iterator[None]:
    """A recorder of the journal that has something of everything."""
    journals: dict[Path, bytes] = {}
    third = Tape("").add(22, "iteration.finished", iteration=3, outcome="success", duration=3.0)
    third.add(23, "iteration.started", iteration=4)  # from three of them on, something is usual
    for line in (*script(EVERYTHING, RUNNER), *third.lines):
        path = stage.folder / f"{line['loop']}.jsonl"
        journals[path] = journals.get(path, b"") + encode(line) + b"\n"
    for path, content in journals.items():
        path.write_bytes(content)
    words = [sys.executable, "-c", RECORDER, EVERYTHING, *map(str, journals)]
    with subprocess.Popen(words, env=stage.environment("collector"), stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def _started(stage: Staged, trouble: Trouble) -> Iterator[subprocess.Popen[bytes]]:
    place = stage.folder / trouble.name
    work, tools = place / "work", place / "bin"
    work.mkdir(parents=True)
    tools.mkdir()
    shutil.copy(Path(__file__).parent / "agent.sh", tools / "claude")
    (work / "PROMPT.md").write_text("Go on.\n")
    (place / "passing.xml").write_text(_REPORT.format(""))
    (place / "failing.xml").write_text(_REPORT.format("<failure/>"))
    who = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{tools}:{_TOOLS}:/usr/bin:/bin"
    environment = stage.environment(trouble.road, **who, **trouble.agent, PATH=path)
    if trouble.git:
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "A prompt"]):
            subprocess.run(["git", *words], cwd=work, env=environment, check=True)
    command = [word.replace("{name}", trouble.name) for word in trouble.command]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill all that is left of it: its session, and agents that the embedded runner gives one of their own."""
    below: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(process.pid).children(recursive=True)
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    for each in below:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def _kill(stage: Staged, trouble: Trouble, process: subprocess.Popen[bytes]) -> None:
    running = f'ralph_loop_active_iterations{{ralph_loop_name="{trouble.name}"}} >= 0'
    until(lambda: stage.prometheus.query(running), 60, f"for {trouble.name} in Prometheus", pause=0.3)
    if trouble.killed == "runner":
        os.kill(int((stage.folder / trouble.name / "runner").read_text()), signal.SIGKILL)
    else:
        _end(process)
