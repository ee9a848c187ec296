"""The sampler, against real processes, and what it shows as OpenTelemetry metrics and events."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Metric, Sum

from ralph_otel import events
from ralph_otel.catalog import RESOURCES, Kind
from ralph_otel.signals import process_tree, resources
from ralph_otel.signals.resources import VALUES, ResourceSampler, Sample, Usage, observe
from support.waiting import until

BUSY = "while True: pass"
FOUR_THREADS_TWO_FILES = """
import os, threading
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
listed = os.listdir("/proc/self/fd")
ends = os.pipe()
print(len(listed) - 1, flush=True)
threading.Event().wait()
"""
"""Says how many files it had open before."""
HOLDS_50_MB = "held = b'x' * 50_000_000; print(flush=True); import time; time.sleep(300)"
WITH_GRANDCHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}])"

Start = Callable[[str], subprocess.Popen[bytes]]


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def only_child(pid: int) -> int:
    until(lambda: len(psutil.Process(pid).children()) == 1)
    return psutil.Process(pid).children()[0].pid


def usage(sample: Sample | None, role: str) -> Usage:
    assert sample is not None
    (found,) = (usage for usage in sample.usages if usage.role == role)
    return found


def known(value: float | None) -> float:
    assert value is not None
    return value


@dataclass(frozen=True)
class Look:
    """A sample, and the time and the processor seconds used so far: just before it was taken, and just after."""

    sample: Sample
    before: tuple[float, float]
    after: tuple[float, float]


def look(sampler: ResourceSampler, used: Callable[[], float]) -> Look:
    """Sample; `used` gives the processor seconds of whom the test is about."""
    before = time.monotonic(), used()
    sample = sampler.sample()
    now_used = used()
    return Look(sample, before, (time.monotonic(), now_used))


def assert_cores(cores: float | None, first: Look, second: Look) -> None:
    """The cores in use are those used between two looks, as far as that is known: whatever else the machine does.

    Processor time comes in ticks of 0.01 s, which is what may be missing or too much at either end.
    """
    ticks = 0.05
    least = (second.before[1] - first.after[1] - ticks) / (second.after[0] - first.before[0])
    most = (second.after[1] - first.before[1] + ticks) / (second.before[0] - first.after[0])
    assert least <= known(cores) <= most


def of_children() -> float:
    """Processor seconds of children that have ended."""
    return sum(os.times()[2:4])


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python script as a child; all end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(script: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            for below in psutil.Process(process.pid).children(recursive=True):
                below.kill()
            process.kill()
        process.communicate(timeout=60)


def others() -> int:
    """Living processes below the tests that no test here started."""
    return usage(ResourceSampler().sample(), "agent").processes


@pytest.fixture
def sampler() -> Iterator[ResourceSampler]:
    sampler = ResourceSampler(interval=0.2)
    yield sampler
    sampler.stop()


class TestCpu:
    def test_a_busy_grandchild_is_the_agents(self, start: Start, sampler: ResourceSampler) -> None:
        already = others()
        grandchild = only_child(start(WITH_GRANDCHILD.format(script=BUSY)).pid)
        first = look(sampler, lambda: cpu_seconds(grandchild))
        until(lambda: cpu_seconds(grandchild) - first.after[1] > 0.6)
        second = look(sampler, lambda: cpu_seconds(grandchild))
        agent = usage(second.sample, "agent")
        assert_cores(agent.cpu, first, second)
        assert agent.cpu_utilization == pytest.approx(known(agent.cpu) / known(psutil.cpu_count()))
        assert agent.processes == already + 2

    def test_the_runners_own_work_is_the_runners(self, sampler: ResourceSampler) -> None:
        first = look(sampler, time.process_time)
        while time.process_time() - first.after[1] < 0.5:
            pass
        second = look(sampler, time.process_time)
        runner, agent = (usage(second.sample, role) for role in ("runner", "agent"))
        assert_cores(runner.cpu, first, second)
        assert known(agent.cpu) < known(runner.cpu) / 2
        assert 0 < known(second.sample.cpu_utilization) <= 1

    def test_a_child_that_came_and_went_between_samples_counts(self, start: Start, sampler: ResourceSampler) -> None:
        first = look(sampler, of_children)
        start("import time\nwhile time.process_time() < 0.5: pass").wait(timeout=60)
        second = look(sampler, of_children)
        agent = usage(second.sample, "agent")
        assert second.before[1] - first.after[1] > 0.4
        assert_cores(agent.cpu, first, second)
        assert agent.processes == others()

    def test_a_child_that_ends_counts_only_what_it_used_since(self, start: Start, sampler: ResourceSampler) -> None:
        busy = start(BUSY)
        until(lambda: cpu_seconds(busy.pid) > 0.6)
        sampler.sample()
        until(lambda: usage(sampler.sample(), "agent").cpu is not None)
        busy.kill()
        busy.wait()
        agent = usage(sampler.sample(), "agent")
        assert 0 <= known(agent.cpu) < 1.4

    def test_the_first_sample_has_no_cpu_rather_than_zero(self, sampler: ResourceSampler) -> None:
        sample = sampler.sample()
        assert usage(sample, "runner").cpu is None
        assert usage(sample, "runner").cpu_utilization is None
        assert usage(sample, "agent").cpu is None
        assert sample.cpu_utilization is None
        assert known(usage(sample, "runner").memory) > 1_000_000

    def test_a_second_look_at_once_does_not_blur_the_value(
        self, start: Start, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        busy = start(BUSY)
        first = look(sampler, lambda: cpu_seconds(busy.pid))
        until(lambda: cpu_seconds(busy.pid) - first.after[1] > 0.6)
        sampler.sample()
        monkeypatch.setattr(resources, "_SHORTEST", 3600.0)  # whenever the next one comes, it comes at once
        second = look(sampler, lambda: cpu_seconds(busy.pid))
        assert_cores(usage(second.sample, "agent").cpu, first, second)


class TestMemoryThreadsAndFiles:
    def test_memory_of_all_descendants_is_summed(self, start: Start, sampler: ResourceSampler) -> None:
        before = usage(sampler.sample(), "agent")
        for child in [start(HOLDS_50_MB), start(HOLDS_50_MB)]:
            assert child.stdout is not None
            child.stdout.readline()
        agent = usage(sampler.sample(), "agent")
        assert 100_000_000 < known(agent.memory) - known(before.memory) < 200_000_000
        assert known(agent.threads) - known(before.threads) == 2
        assert agent.processes - before.processes == 2
        assert agent.file_descriptors is None

    def test_the_runner_shows_its_threads_and_files(self, start: Start) -> None:
        runner = start(FOUR_THREADS_TWO_FILES)
        assert runner.stdout is not None
        files = int(runner.stdout.readline())
        shown = usage(ResourceSampler(runner.pid).sample(), "runner")
        assert (shown.processes, shown.threads, shown.file_descriptors) == (1, 4, files + 2)

    def test_a_zombie_is_no_living_process(self, start: Start, sampler: ResourceSampler) -> None:
        before = usage(sampler.sample(), "agent")
        child = start("")
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        agent = usage(sampler.sample(), "agent")
        assert (agent.processes, agent.threads) == (before.processes, before.threads)

    def test_the_machines_memory_is_a_fraction(self, sampler: ResourceSampler) -> None:
        assert sampler.sample().memory_utilization == pytest.approx(psutil.virtual_memory().percent / 100, abs=0.2)


class TestWhoIsSampled:
    def test_another_process_can_be_the_runner(self, start: Start) -> None:
        runner = start(WITH_GRANDCHILD.format(script=BUSY))
        only_child(runner.pid)
        sample = ResourceSampler(runner.pid).sample()
        assert usage(sample, "runner").memory == pytest.approx(psutil.Process(runner.pid).memory_info().rss, rel=0.5)
        assert usage(sample, "agent").processes == 1

    def test_this_process_and_its_own_never_count_as_agents(self) -> None:
        script = (
            "import os, subprocess, sys\n"
            "from ralph_otel.signals.process_tree import descendants\n"
            "from ralph_otel.signals.resources import ResourceSampler\n"
            "ours = subprocess.Popen(['sleep', '300'])\n"
            "agent = ResourceSampler(os.getppid()).sample().usages[1]\n"
            "print(len(descendants(os.getppid())), agent.processes)\n"
            "ours.kill(); ours.wait()\n"
        )
        shell = f"sleep 300 & '{sys.executable}' -c \"$SCRIPT\"; kill $!"
        output = subprocess.check_output(["sh", "-c", shell], env={**os.environ, "SCRIPT": script}, timeout=60)
        assert output.split() == [b"3", b"1"]

    def test_a_runner_that_ended_has_no_roles(self, start: Start) -> None:
        runner = start(BUSY)
        sampler = ResourceSampler(runner.pid)
        assert len(sampler.sample().usages) == 2
        runner.kill()
        until(lambda: psutil.Process(runner.pid).status() == psutil.STATUS_ZOMBIE)
        assert sampler.sample().usages == ()
        runner.wait()
        sample = sampler.sample()
        assert sample.usages == ()
        assert sample.memory_utilization is not None
        assert sampler.events() == []

    def test_a_runner_that_never_was_has_no_roles(self) -> None:
        with subprocess.Popen(["true"]) as process:
            process.wait()
        sampler = ResourceSampler(process.pid)
        assert sampler.sample().usages == ()


def denied(*_: object) -> Any:
    raise psutil.AccessDenied


class TestGuardedProbes:
    @pytest.mark.parametrize(
        ("method", "field"), [("num_fds", "file_descriptors"), ("memory_info", "memory"), ("num_threads", "threads")]
    )
    def test_a_denied_probe_is_absent_and_the_others_go_on(
        self, method: str, field: str, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(psutil.Process, method, denied)
        runner = usage(sampler.sample(), "runner")
        assert getattr(runner, field) is None
        others = {"file_descriptors", "memory", "threads"} - {field}
        assert all(getattr(runner, other) > 0 for other in others)

    def test_a_probe_that_the_platform_lacks_is_absent(
        self, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(psutil.Process, "num_fds")
        monkeypatch.delattr(os, "getloadavg")
        sample = sampler.sample()
        assert usage(sample, "runner").file_descriptors is None
        assert sample.load_average is None
        assert sample.memory_utilization is not None

    def test_denied_cpu_times_leave_memory(
        self, start: Start, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start(BUSY)
        monkeypatch.setattr(psutil.Process, "cpu_times", denied)
        monkeypatch.setattr(resources, "_SHORTEST", 0.0)
        sampler.sample()
        sample = sampler.sample()
        assert (usage(sample, "runner").cpu, usage(sample, "agent").cpu) == (None, None)
        assert known(usage(sample, "agent").memory) > 0
        assert sampler.events() == []

    def test_one_denied_descendant_does_not_hide_the_rest(
        self, start: Start, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = usage(sampler.sample(), "agent")
        hidden, seen = start(HOLDS_50_MB), start(HOLDS_50_MB)
        for child in (hidden, seen):
            assert child.stdout is not None
            child.stdout.readline()
        real = psutil.Process.memory_info

        def memory_info(process: psutil.Process) -> Any:
            return denied() if process.pid == hidden.pid else real(process)

        monkeypatch.setattr(psutil.Process, "memory_info", memory_info)
        agent = usage(sampler.sample(), "agent")
        assert 50_000_000 < known(agent.memory) - known(before.memory) < 100_000_000
        assert agent.processes - before.processes == 2

    def test_a_descendant_that_vanishes_before_it_is_read_is_passed_over(
        self, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        monkeypatch.setattr(process_tree, "descendants", lambda pid: [gone.pid])
        assert usage(sampler.sample(), "agent").processes == 0

    def test_the_machine_may_not_say(self, sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", denied)
        monkeypatch.setattr(psutil, "cpu_times", denied)
        monkeypatch.setattr(resources, "_SHORTEST", 0.0)
        sampler.sample()
        sample = sampler.sample()
        assert (sample.memory_utilization, sample.cpu_utilization) == (None, None)
        assert usage(sample, "runner").cpu is not None


def samplers() -> list[threading.Thread]:
    """The threads that sample."""
    return [thread for thread in threading.enumerate() if thread.name == "ralph-otel-resources"]


class TestThread:
    def test_it_samples_at_once_again_and_again_until_stopped(self, sampler: ResourceSampler) -> None:
        assert sampler.last is None
        sampler.start()
        until(lambda: sampler.last is not None and usage(sampler.last, "runner").cpu is not None)
        earlier = sampler.last
        until(lambda: sampler.last is not earlier)
        sampler.stop()
        until(lambda: samplers() == [])
        assert sampler.last is not None

    def test_a_long_interval_delays_neither_the_first_cpu_value_nor_the_stop(self) -> None:
        sampler = ResourceSampler(interval=3600)
        sampler.start()
        until(lambda: sampler.last is not None and usage(sampler.last, "runner").cpu is not None)
        sampler.stop()
        until(lambda: samplers() == [])

    def test_starting_twice_runs_one_thread_which_ends_with_the_process(self, sampler: ResourceSampler) -> None:
        until(lambda: samplers() == [], what="for those of other tests")
        sampler.start()
        sampler.start()
        assert [thread.daemon for thread in samplers()] == [True]

    def test_it_can_be_started_again(self, sampler: ResourceSampler) -> None:
        sampler.start()
        sampler.stop()
        stopped_at = sampler.last
        sampler.start()
        until(lambda: sampler.last is not stopped_at)

    def test_stopping_before_a_start_does_nothing(self, sampler: ResourceSampler) -> None:
        sampler.stop()
        assert sampler.last is None


FULL = Sample(
    usages=(
        Usage("runner", 1, cpu=0.5, cpu_utilization=0.25, memory=1000, threads=3, file_descriptors=7),
        Usage("agent", 4, cpu=1.5, cpu_utilization=0.75, memory=9000, threads=12),
    ),
    cpu_utilization=0.9,
    memory_utilization=0.4,
    load_average=1.7,
)


class Observed:
    """A meter with the sampler's instruments, and what it collects."""

    def __init__(self, sampler: ResourceSampler) -> None:
        self.attributes: dict[str, str] | None = {"ralph.loop.name": "fix-bugs", "ralph.runner": "ralphify"}
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)
        observe(self.provider.get_meter("test"), sampler, lambda: self.attributes)

    def metrics(self) -> dict[str, Metric]:
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def values(self) -> dict[str, dict[object, float]]:
        return {name: dict(self._by_role(metric)) for name, metric in self.metrics().items()}

    @staticmethod
    def _by_role(metric: Metric) -> Iterator[tuple[object, float]]:
        assert isinstance(metric.data, (Gauge, Sum))
        for point in metric.data.data_points:
            yield (point.attributes or {}).get("ralph.process.role"), point.value


@pytest.fixture
def observed(sampler: ResourceSampler) -> Iterator[Observed]:
    observed = Observed(sampler)
    yield observed
    observed.provider.shutdown()


class TestMetrics:
    def test_a_sample_shows_under_the_conventions_names(self, sampler: ResourceSampler, observed: Observed) -> None:
        sampler.last = FULL
        assert observed.values() == {
            "process.cpu.utilization": {"runner": 0.25, "agent": 0.75},
            "process.memory.usage": {"runner": 1000, "agent": 9000},
            "process.thread.count": {"runner": 3, "agent": 12},
            "process.unix.file_descriptor.count": {"runner": 7},
            "ralph.process.count": {"runner": 1, "agent": 4},
            "system.cpu.utilization": {None: 0.9},
            "system.memory.utilization": {None: 0.4},
            "system.cpu.load_average.1m": {None: 1.7},
        }

    def test_kinds_and_units_are_the_tables(self, sampler: ResourceSampler, observed: Observed) -> None:
        sampler.last = FULL
        collected = observed.metrics()
        for row in RESOURCES:
            metric = collected[row.name]
            assert (metric.unit, metric.description) == (row.unit, row.description)
            if row.kind is Kind.OBSERVABLE_UPDOWN:
                assert isinstance(metric.data, Sum)
                assert not metric.data.is_monotonic
            else:
                assert isinstance(metric.data, Gauge)
        assert collected["process.memory.usage"].unit == "By"
        assert VALUES.keys() == {row.name for row in RESOURCES}

    def test_nothing_is_shown_before_there_are_attributes(self, sampler: ResourceSampler, observed: Observed) -> None:
        sampler.last = FULL
        observed.attributes = None
        assert observed.values() == {}

    def test_every_value_carries_the_attributes_of_the_moment(
        self, sampler: ResourceSampler, observed: Observed
    ) -> None:
        sampler.last = FULL
        observed.metrics()
        observed.attributes = {"ralph.loop.name": "second"}
        collected = observed.metrics()
        (machine,) = collected["system.memory.utilization"].data.data_points
        assert dict(machine.attributes or {}) == {"ralph.loop.name": "second"}
        roles = {
            tuple(sorted((point.attributes or {}).items()))
            for point in collected["process.memory.usage"].data.data_points
        }
        assert roles == {
            (("ralph.loop.name", "second"), ("ralph.process.role", "runner")),
            (("ralph.loop.name", "second"), ("ralph.process.role", "agent")),
        }

    def test_without_a_sample_nothing_shows(self, observed: Observed) -> None:
        assert observed.values() == {}

    def test_what_is_not_known_does_not_show(self, sampler: ResourceSampler, observed: Observed) -> None:
        sampler.last = Sample((Usage("runner", 1),), cpu_utilization=None, memory_utilization=0.4, load_average=None)
        assert observed.values() == {"ralph.process.count": {"runner": 1}, "system.memory.utilization": {None: 0.4}}

    def test_collecting_reads_no_process(
        self, sampler: ResourceSampler, observed: Observed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sampler.last = FULL
        monkeypatch.setattr(sampler, "sample", lambda: pytest.fail("sampled by the exporting thread"))
        monkeypatch.setattr(resources, "read_runner", lambda process: pytest.fail("read by the exporting thread"))
        assert len(observed.values()) == len(RESOURCES)

    def test_a_real_sample_shows_every_metric(self, sampler: ResourceSampler, observed: Observed) -> None:
        sampler.start()
        until(lambda: sampler.last is not None and sampler.last.cpu_utilization is not None)
        assert set(observed.values()) == {row.name for row in RESOURCES}


class TestEvents:
    def test_each_role_is_one_event(self, sampler: ResourceSampler) -> None:
        sampler.last = FULL
        assert sampler.events() == [
            events.ResourceSampled("runner", cpu=0.5, memory=1000, processes=1),
            events.ResourceSampled("agent", cpu=1.5, memory=9000, processes=4),
        ]

    def test_without_cpu_or_memory_there_is_no_event(self, sampler: ResourceSampler) -> None:
        assert sampler.events() == []
        sampler.last = Sample((Usage("runner", 1, memory=5), Usage("agent", 0, cpu=0.0)), None, None, None)
        assert sampler.events() == []

    def test_a_real_samples_events_fit_the_journal(self, start: Start, sampler: ResourceSampler) -> None:
        busy = start(BUSY)
        sampler.sample()
        until(lambda: cpu_seconds(busy.pid) > 0.2)
        sampler.sample()
        assert [event.role for event in sampler.events()] == ["runner", "agent"]
        for event in sampler.events():
            line = {"v": 1, "type": event.type, "ts": 1, "loop": "run", **vars(event)}
            assert events.problem_with(line) is None
