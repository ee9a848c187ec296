"""What an alert says to the person it wakes: by its templates, as Prometheus fills them in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from incidents import GROUPS, LOOP, Incident, rules_of

from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.names import Names
from support.promtool import Scene, flat, ramp, rules_test

NAME = "fix bugs & more"
OTHER = MixinConfig(prefix="agents.loop", runbook_url="https://wiki/ralph", grafana_url="https://grafana")


def everything_at_once(config: MixinConfig) -> Incident:
    """A loop that all alerts about a loop fire for, and a process and a Collector that lose signals."""
    scene = Incident(names=Names(config.prefix))
    one = {"loop": NAME}
    scene.run("active_runs", flat(1, 90), **one)
    scene.run("active_iterations", flat(1, 90), **one)
    scene.run("iteration_age", ramp(0, 60, 90), **one)
    scene.run("iterations", ramp(1, 1, 90), **one, ralph_outcome="timeout")
    for name, values in {
        "progress_score": flat(0, 90),
        "no_progress_streak": ramp(1, 1, 90),
        "test_failure_streak": ramp(1, 1, 90),
        "test_pass_ratio": flat(0.5, 90),
        "context_usage": ramp(20, 0.85, 90),
    }.items():
        scene.run(name, values, **one)
    scene.run("reboots", ramp(1, 1, 90), **one, ralph_reboot_reason="redline")
    scene.run("context_at_reboot_count", ramp(1, 1, 90), **one, ralph_reboot_reason="redline")
    scene.run("context_at_reboot_sum", ramp(92, 92, 90), **one, ralph_reboot_reason="redline")
    scene.run("cost", ramp(1, 3, 90), **one, gen_ai_request_model="x", ralph_cost_source="reported")
    scene.run("runs", [*flat(0, 80), *flat(1, 10)], **one, ralph_stop_reason="crashed")
    scene.run("active_runs", [*flat(1, 60), *[None] * 30], "r0", NAME)
    process = {"job": "ralph-loop", "instance": "r1"}
    scene.add("ralph_otel_journal_errors_total", process, [*flat(0, 80), *flat(3, 10)])
    collector = {"job": "otel-collector", "instance": "gateway:8888", "exporter": "otlp"}
    scene.add("otelcol_exporter_send_failed_spans_total", collector, ramp(0, 10, 90))
    queue = {**collector, "data_type": "traces"}
    scene.add("otelcol_exporter_queue_size", queue, flat(95, 90))
    scene.add("otelcol_exporter_queue_capacity", queue, flat(100, 90))
    return scene


def said(promtool: Path, folder: Path, config: MixinConfig) -> dict[str, str]:
    """What each alert that fires says: promtool shows it when it expects nothing."""
    names = [
        rule["alert"] for group in yaml.safe_load(rules_of(config)["alerts.yaml"])["groups"] for rule in group["rules"]
    ]
    scene: Scene = everything_at_once(config)
    content = rules_test(list(rules_of(config)), scene, GROUPS)
    content["tests"][0]["alert_rule_test"] = [
        {"alertname": name, "eval_time": "85m", "exp_alerts": []} for name in names
    ]
    for name, text in rules_of(config).items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "test.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", folder / "test.yaml"], capture_output=True, text=True, timeout=100
    )
    output = done.stdout + done.stderr
    parts = re.split(r"alertname: ?(\w+)", output)
    return {
        name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if "got:[" in text and "Labels:" in text
    }


@pytest.mark.parametrize("config", [MixinConfig(), OTHER], ids=lambda config: config.prefix)
def test_every_alert_fires_and_says_what_happened_and_where_to_look(
    promtool: Path, tmp_path: Path, config: MixinConfig
) -> None:
    every = said(promtool, tmp_path, config)
    names = {
        rule["alert"] for group in yaml.safe_load(rules_of(config)["alerts.yaml"])["groups"] for rule in group["rules"]
    }
    assert set(every) == names
    for name, text in every.items():
        assert "error expanding" not in text, text
        assert "<no value>" not in text, text
        assert "{{" not in text, text
        assert f"{config.runbook_url}/{name}.md" in text
        assert f"{config.grafana_url}/d/ralph-" in text
        if "ralph_loop_name" in text:
            assert NAME in text
            assert f"/d/ralph-loop?var-job={LOOP['job']}&var-loop=fix+bugs+%26+more" in text


def test_the_values_are_such_as_people_read(promtool: Path, tmp_path: Path) -> None:
    every = said(promtool, tmp_path, MixinConfig())
    assert "has been running for 1h 25m 0s" in every["RalphIterationStuck"]
    assert "has cost 256.00 USD" in every["RalphRunOverBudget"]
    assert "86 test runs" in every["RalphTestsFailing"]
    assert "is 95% full" in every["RalphCollectorQueueFull"]
    assert "3 journal_errors in 15 minutes" in every["RalphTelemetryDropping"]
