"""Prometheus' own judgement of rules: `promtool`, and time series for it to try them on.

A series is a list with a value a minute, None where there was no sample.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Values = Sequence[float | None]
STALE = float("nan")
"""Instead of a value: a target that Prometheus has no more, and so the end of its series."""
Labels = Mapping[str, str]


def flat(value: float, minutes: int) -> list[float | None]:
    """The same value for so many minutes."""
    return [value] * minutes


def ramp(start: float, step: float, minutes: int) -> list[float | None]:
    """A value that grows, for so many minutes."""
    return [start + step * minute for minute in range(minutes)]


def silence(minutes: int) -> list[float | None]:
    """No samples."""
    return [None] * minutes


@dataclass
class Scene:
    """Time series, and what a query must give at some minutes.

    Args:
        series: selector, as `a{b="c"}`, to its values.
        expected: minute, query, and the samples that it gives: labels to value. A name among the labels is left out.
        every: minutes between two evaluations of the rules; 5 are enough for a scene of days, and far quicker.
    """

    series: dict[str, Values] = field(default_factory=dict)
    expected: list[tuple[float, str, list[tuple[Labels, float]]]] = field(default_factory=list)
    every: int = 1

    def add(self, name: str, labels: Labels, values: Values) -> None:
        """Another series."""
        self.series[selector(name, labels)] = values

    def expect(self, minute: float, query: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """At that minute the query gives these samples and no others."""
        self.expected.append((minute, query, list(samples)))


def selector(name: str, labels: Labels) -> str:
    """`name{label="value"}`."""
    return name + "{" + ", ".join(f"{key}={_quoted(value)}" for key, value in labels.items()) + "}"


def verdict(promtool: Path, folder: Path, rules: Mapping[str, str], scene: Scene, order: Sequence[str]) -> str:
    """What `promtool test rules` has to say against a scene; "" if all is as expected.

    Args:
        promtool: the program.
        folder: to write into.
        rules: file name to text.
        scene: what there is and what is expected.
        order: the names of the groups, in the order in which they are evaluated each time.
    """
    for name, text in rules.items():
        (folder / name).write_text(text, encoding="utf-8")
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(rules_test(list(rules), scene, order), sort_keys=False), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, timeout=100)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def rules_test(files: list[str], scene: Scene, order: Sequence[str]) -> dict[str, Any]:
    """What `promtool test rules` reads: the rules' files, the scene's series, and what is expected of them."""
    return {
        "rule_files": files,
        "evaluation_interval": f"{scene.every}m",
        "group_eval_order": list(order),
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": " ".join(map(_written, values))} for name, values in scene.series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": f"{round(minute * 60)}s",
                        "exp_samples": [{"labels": selector("", labels), "value": value} for labels, value in samples],
                    }
                    for minute, query, samples in scene.expected
                ],
            }
        ],
    }


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _written(value: float | None) -> str:
    if value is None:
        return "_"
    return "stale" if math.isnan(value) else repr(value)
