"""The whole of it: processes are started, killed and told to end; then everything is sent, and compared."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import clean
from benchmarks.soak.audit import Audit, audit
from benchmarks.soak.figures import works
from benchmarks.soak.looks import WATCHED, Look, Looker, Trend, trend, waiting
from benchmarks.soak.receiver import Receiver
from ralph_otel import MetricsConfig
from ralph_otel.replay import replay

_ROOT = Path(__file__).parent.parent.parent
_KINDS = ("lives on", "SIGKILL", "SIGTERM")
"""Of processes; the folders of their accounts are called so, too."""
_LIFE = (4.0, 30.0)
"""Seconds from its first iteration after which a process is ended, at the least and at the most."""
_RATE = 20
"""Iterations a second of a process that is ended."""
_QUIET = 6.0
"""Seconds after which the journal of a killed process counts as left behind."""
_DRAIN = 600.0
"""Seconds that what waits may take at the end."""


@dataclass(frozen=True)
class Plan:
    """What is to be done; see the options of the command."""

    iterations: int = 1_000_000
    minutes: float = 20.0
    most_minutes: float = 60.0
    every: float = 5.0
    logs: bool = True
    seed: str = "soak"


@dataclass
class Result:
    """What came of it.

    Args:
        plan: what was to be done.
        took: seconds until the last iteration.
        behind: seconds that the recorder then needed to catch up.
        own: what the process that lives on says of itself: iterations, tokens, cost.
        scraped: iterations by its Prometheus endpoint, at the end.
        audits: by the kind of process.
        repaired: the same of those ended, when `ralph-otel replay` has sent what was missing.
        ends: how many processes were ended, by signal.
        looks: at the process that lives on.
        answers: of the receiver.
        twice: spans that came more than once.
        logs: log records that were taken.
        waiting: requests that still wait.
        scrapes: those that were answered, and those that were not.
        given_up: items by signal and reason, as the queues' own files have it.
    """

    plan: Plan
    took: float
    behind: float
    own: dict[str, float]
    scraped: float
    audits: dict[str, Audit]
    repaired: dict[str, Audit]
    ends: Counter[str]
    looks: list[Look]
    answers: Counter[str]
    twice: int
    logs: int
    waiting: int
    scrapes: tuple[int, int]
    given_up: Counter[str]

    @property
    def trends(self) -> dict[str, Trend]:
        """By what is watched."""
        return {each.name: trend(each, self.looks) for each in WATCHED}

    @property
    def good(self) -> bool:
        """Whether nothing grows and nothing is lost."""
        return not self.waiting and self.counted and all(trend.flat for trend in self.trends.values())

    @property
    def counted(self) -> bool:
        """Whether all totals are exact and all spans there, those of ended processes once replayed where need be."""
        done, own = self.audits["lives on"], self.own
        tokens = done.said["input tokens"] + done.said["output tokens"]
        shown = (own["iterations"], self.scraped, own["tokens"], own["cost"])
        wrong = any(each.wrong for each in (done, *self.repaired.values()))
        return not wrong and shown == (done.iterations, done.iterations, tokens, done.said["cost"])


class Ended(threading.Thread):
    """A process that is started again whenever it has been ended.

    Args:
        home: the folder for its stderr.
        environment: its environment.
        accounts: the folder for its loops' accounts.
        how: the signal.
        seed: decides when, and what its loops do.
    """

    def __init__(self, home: Path, environment: dict[str, str], accounts: Path, how: signal.Signals, seed: str) -> None:
        super().__init__(name=how.name, daemon=True)
        self._home, self._environment, self._accounts, self._how, self._seed = home, environment, accounts, how, seed
        self._over = threading.Event()
        self.ended = 0

    def run(self) -> None:
        """Start, wait, end, and again."""
        dice = random.Random(f"{self._seed}/{self._how.name}")
        while not self._over.is_set():
            life = dice.uniform(*_LIFE)
            arguments = ["short", str(self._accounts), f"{self._seed}/{self._how.name}/{self.ended}", "1000000"]
            with start(self._home, self._environment, *arguments, str(1_000_000 / _RATE), "1e9") as process:
                while process.poll() is None and not self._works():
                    time.sleep(0.05)
                self._over.wait(life)
                process.send_signal(self._how)
                process.wait(60)
            self.ended += 1

    def _works(self) -> bool:
        """Whether the latest process has done an iteration; each has a folder of accounts, with one in it."""
        accounts = list(self._accounts.glob("*/*"))
        return len(accounts) > self.ended and all(map(works, accounts))

    def stop(self) -> None:
        """End the last one."""
        self._over.set()
        self.join()


def start(home: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start an emitter, for a `with`; what it says on stderr is kept."""
    command, pipe = [sys.executable, "-m", "benchmarks.soak.emitter", *arguments], subprocess.PIPE
    with (home / "stderr").open("a") as stderr:
        return subprocess.Popen(command, cwd=_ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=stderr, text=True)


def run(plan: Plan, where: Path) -> Result:
    """Do it, in a folder that is empty.

    Raises:
        RuntimeError: a process has not done as it was told.
    """
    for folder in ("home", *_KINDS):
        (where / folder).mkdir()
    receiver = Receiver(random.Random(f"{plan.seed}/receiver"))
    environment = _environment(where / "home", receiver.url, plan)
    times = (str(plan.iterations), str(plan.minutes * 60), str(plan.most_minutes * 60))
    with start(where, environment, "long", str(where / "lives on"), plan.seed, *times) as long:
        try:
            return _run(plan, where, environment, receiver, long)
        finally:
            long.kill()
            receiver.stop()


def _run(
    plan: Plan, where: Path, environment: dict[str, str], receiver: Receiver, long: subprocess.Popen[str]
) -> Result:
    home, folders = where / "home", {kind: where / kind for kind in _KINDS}
    looker = Looker(long.pid, home, _hear(long)["prometheus"], plan.every)
    others = [Ended(where, environment, folders[how.name], how, plan.seed) for how in (signal.SIGKILL, signal.SIGTERM)]
    began = time.monotonic()
    for thread in (receiver, looker, *others):
        thread.start()
    _hear(long)
    took = time.monotonic() - began
    looker.stop()
    for other in others:
        other.stop()
    receiver.settle()
    own = _tell(long)
    _last(where, environment)
    left = _drained(home)
    scraped = _iterations(looker.scrape())
    audits = _audits(folders, home, receiver)
    repaired = _repair(plan, audits, folders, home, receiver)
    print(file=long.stdin, flush=True)
    if long.wait(60):
        raise RuntimeError(f"the process that lives on has ended with {long.returncode}")
    store = receiver.store
    return Result(
        plan, took, own.pop("behind"), own, scraped, audits, repaired,
        Counter({other.name: other.ended for other in others}), looker.looks, store.answers, store.twice, store.logs,
        left, (looker.scrapes, looker.failed_scrapes), _given_up(home),
    )  # fmt: skip


def _environment(home: Path, url: str, plan: Plan) -> dict[str, str]:
    return {
        **clean(),
        "RALPH_OTEL_HOME": str(home),
        "RALPH_OTEL_EXPORT_FORMAT": "prometheus,otlp",
        "RALPH_OTEL_EXPORT_TARGET": "prometheus=127.0.0.1:0",
        "RALPH_OTEL_JOURNAL_SIZE": "0",  # all are there at the end, to be compared
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        **({} if plan.logs else {"OTEL_LOGS_EXPORTER": "none"}),
    }


def _hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process has ended with {process.wait()}")
    said: dict[str, Any] = json.loads(line)
    return said


def _tell(process: subprocess.Popen[str]) -> dict[str, Any]:
    print(file=process.stdin, flush=True)
    return _hear(process)


def _last(where: Path, environment: dict[str, str]) -> None:
    """A last process, which ends what the killed ones have left and sends it."""
    time.sleep(_QUIET)
    with start(where, environment, "short", str(where / "last"), "last", "60", "3", "60") as process:
        process.wait(120)


def _drained(home: Path) -> int:
    """Wait until nothing waits to be sent. Returns how many requests still do after all."""
    deadline = time.monotonic() + _DRAIN
    while (left := waiting(home)) and time.monotonic() < deadline:
        time.sleep(1.0)
    return left


def _iterations(scrape: str) -> float:
    lines = (line.rpartition(" ") for line in scrape.splitlines())
    return sum(float(value) for name, _, value in lines if name.startswith("ralph_loop_iterations_total{"))


def _audits(folders: dict[str, Path], home: Path, receiver: Receiver) -> dict[str, Audit]:
    return {
        kind: audit(sorted(accounts.iterdir()), home / "runs", receiver.store) for kind, accounts in folders.items()
    }


def _repair(
    plan: Plan, audits: dict[str, Audit], folders: dict[str, Path], home: Path, receiver: Receiver
) -> dict[str, Audit]:
    """Replay the runs of processes that were ended of which anything is missing, and compare again."""
    config = MetricsConfig(home=home, export_format="none", resources=False)
    ended = {kind: each for kind, each in audits.items() if kind != "lives on"}
    for each in ended.values():
        for journal in each.short:
            replay(journal, receiver.url, config)
    return _audits({kind: folders[kind] for kind in ended}, home, receiver)


def _given_up(home: Path) -> Counter[str]:
    """Items by signal and reason, from the queues' own files."""
    from ralph_otel.exporters.delivery.dropped import read

    found: Counter[str] = Counter()
    for folder in (home / "queue").iterdir():
        for entry in read(folder):
            found[f"{folder.name.split('-')[-2]} {entry.reason}"] += entry.items
    return found
