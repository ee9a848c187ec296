"""The settings: what they take, and what is said of a wrong one."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.mixin.alerts import Expressions
from ralph_otel.mixin.config import Duration, MixinConfig, SettingError
from ralph_otel.mixin.rules import alert_rules


def test_settings_are_read_as_what_they_are() -> None:
    config = MixinConfig().with_settings(["stuck_factor=4.5", "gap=6h", "day_budget=20", "grafana_url=https://g"])
    assert (config.stuck_factor, config.gap, config.day_budget, config.grafana_url) == (4.5, "6h", 20, "https://g")
    assert config.stuck_floor == MixinConfig().stuck_floor


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("stuck=4", "'stuck=4' sets nothing; give NAME=VALUE"),
        ("stuck_factor", "'stuck_factor' sets nothing; give NAME=VALUE"),
        ("prefix=a", "'prefix=a' sets nothing; give NAME=VALUE"),
        ("stuck_factor=-1", "stuck_factor: '-1' will not do; it takes a number from 0, such as 3 or 0.8"),
        ("stuck_factor=nan", "stuck_factor: 'nan' will not do; it takes a number from 0"),
        ("stuck_quantile=95", "stuck_quantile: '95' will not do; it takes a number from 0 to 1"),
        ("gap=1h30m", "gap: '1h30m' will not do; it takes a duration in one unit"),
        ("gap=0s", "gap: '0s' will not do; it takes a duration in one unit"),
        ("interval=5m", "interval: '5m' will not do; it takes a duration of at most 2m"),
        ('grafana_url=a"b', "grafana_url: 'a\"b' will not do; it takes printable characters"),
    ],
)
def test_a_wrong_one_is_named_with_what_would_do(setting: str, said: str) -> None:
    with pytest.raises(SettingError) as raised:
        MixinConfig().with_settings([setting])
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize("prefix", ["", "1a", "a-b", "a b", "a" * 65])
def test_a_prefix_that_no_metric_can_have(prefix: str) -> None:
    with pytest.raises(SettingError, match="prefix: "):
        MixinConfig().with_prefix(prefix)


@pytest.mark.parametrize(("patience", "lasting"), [("1", "10m"), ("2", "1200s"), ("0.05", "30s"), ("0", "0s")])
def test_patience_is_how_long_an_alert_waits(patience: str, lasting: str) -> None:
    config = MixinConfig().with_settings([f"patience={patience}"])
    assert Expressions(config).lasting("10m") == lasting
    rules = yaml.safe_load(alert_rules(config))
    [spinning] = [rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == "RalphLoopSpinning"]
    assert spinning.get("for", "0s") == lasting


@given(st.text(), st.sampled_from([name for name, _, _ in MixinConfig.settings()]))
def test_any_text_is_a_setting_or_a_setting_error(text: str, name: str) -> None:
    said = f"{name}: "
    try:
        MixinConfig().with_settings([f"{name}={text}"])
    except SettingError as error:
        said = str(error)
    assert said.startswith(f"{name}: ")
    assert "\n" not in said


@given(st.integers(1, 10**6), st.sampled_from("smhdw"))
def test_a_duration_is_its_seconds(number: int, unit: str) -> None:
    assert Duration(f"{number}{unit}").seconds == number * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
