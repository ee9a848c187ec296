"""Whatever the network does, a program ends at most two seconds later, and an outage costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fault_network import NETWORKS, Gate, Network
from fault_scene import OURS as COMMAND
from fault_scene import Ended, Scene
from fault_table import BY_HAND, OURS, Arrived, Fault, assert_known, stages

from support.receiver import Received

SECTION = "network"
LONGEST = 2.0
"""Seconds that an end may be delayed at the most."""
NOISE = 2.0
"""Seconds that one of two ends, on a machine that is busy with other things, may take more than the other."""
TRIES = 3
"""As a machine's troubles make ends later and never sooner, one of so many must be in time."""


def run_in(network: Network, telemetry: str, scene: Scene, healthy: Scene) -> tuple[Ended, float]:
    """How a program ends in a network, and how many seconds later than with a receiver that takes everything."""
    program = Scene.loop(telemetry)
    with network.url() as url:
        scene.url = url
        scene.variables.update(network.variables(scene.folder / "names"), FAULT_PATIENCE="")
        ended = scene.run(program)
    healthy.variables.update(scene.variables)
    return ended, scene.exit_seconds(ended) - healthy.exit_seconds(healthy.run(program))


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_what_is_seen_of_a_dead_network(network: Network, telemetry: str, receiver: Received, tmp_path: Path) -> None:
    for number in range(TRIES):
        scene, healthy = (Scene(tmp_path / f"{name}-{number}", receiver) for name in ("scene", "healthy"))
        ended, delay = run_in(network, telemetry, scene, healthy)
        if delay < LONGEST + NOISE or telemetry == BY_HAND:
            break
    assert (ended.code, ended.stdout) == (0, "done\n")
    said = ended.stderr.splitlines()
    if telemetry == OURS:
        assert delay < LONGEST + NOISE
        assert all(line.startswith("ralph-otel: ") for line in said), ended.stderr
        assert len(said) <= 3, "one for each signal"
        assert scene.journaled() == 20
        assert scene.leftovers() == []
        felt = f"at most {LONGEST:g} s later"
    else:
        felt = "later" + (", lines on stderr" if said else "")
    assert_known(Fault(SECTION, network.name, network.done), telemetry, "20", {}, felt, delay)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_the_end_of_a_command_is_delayed_by_two_seconds_at_the_most(
    network: Network, receiver: Received, tmp_path: Path
) -> None:
    for number in range(TRIES):
        scene, healthy = (Scene(tmp_path / f"{name}-{number}", receiver) for name in ("scene", "healthy"))
        delay = delay_of_a_command(network, scene, healthy)
        assert scene.journaled() == 3
        if delay < LONGEST + NOISE:
            break
    assert delay < LONGEST + NOISE


def delay_of_a_command(network: Network, scene: Scene, healthy: Scene) -> float:
    """How many seconds later `ralph-otel run` ends in a network than with a receiver that takes everything."""
    script = 'for turn in 1 2 3; do claude -p; done; "$0" -c \'import os, time; print("leaves", time.monotonic_ns())\''
    seconds = []
    with network.url() as url:
        scene.url = url
        variables = network.variables(scene.folder / "names")
        for each in (healthy, scene):
            agent = each.folder / "bin" / "claude"
            agent.parent.mkdir()
            agent.write_text("#!/bin/sh\n")
            agent.chmod(0o755)
            each.variables.update(variables, PATH=f"{agent.parent}:/usr/bin:/bin")
            ended = each.run([*COMMAND, "run", "--", "bash", "-c", script, sys.executable])
            assert ended.code == 0, ended.stderr
            seconds.append(ended.at / 1e9 - int(ended.stdout.split()[1]) / 1e9)
    return seconds[1] - seconds[0]


@pytest.fixture
def gate(receiver: Received) -> Iterator[Gate]:
    """A way to the receiver that is closed yet."""
    made = Gate(urlsplit(receiver.url).port or 0)
    yield made
    made.close()


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
def test_what_is_seen_of_an_outage_that_outlasts_the_loop(telemetry: str, scene: Scene, gate: Gate) -> None:
    scene.url = gate.url
    ended = scene.run(Scene.loop(telemetry))
    assert (ended.code, ended.stdout) == (0, "done\n")
    gate.open()
    at_once = scene.arrived()
    if telemetry == OURS:
        scene.next_start()
        later = scene.arrived()
        scene.replay()
        arrived = stages(at_once=at_once, next_start=later, replay=scene.arrived())
        assert scene.arrived() == Arrived(20, 20)
    else:
        arrived = stages(at_once=at_once)
    fault = Fault(SECTION, "outage", "the receiver is down until the loop has ended, and up when the next one starts")
    assert_known(fault, telemetry, "20", arrived, "as above")
