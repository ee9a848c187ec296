"""Configuration: every field from every source, the order of the sources, and what is said of a wrong value."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.config import MetricsConfig, MetricsExportFormat, seconds
from ralph_otel.config.fields import FIELDS

F = MetricsExportFormat
SEED_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_the_defaults_are_the_seeds(home: Path) -> None:
    config = MetricsConfig()
    assert config.to_dict() == {
        "enabled": True,
        "prefix": "ralph_loop",
        "collection_interval": 10.0,
        "enable_histograms": True,
        "duration_buckets": (*SEED_BUCKETS, 300.0, 600.0, 1800.0, 3600.0),
        "export_format": ["prometheus"],
        "export_target": None,
        "journal": True,
        "home": str(home),
        "service_name": "ralph-loop",
        "resources": True,
        "queue_size": 10_000,
        "journal_size": 1 << 30,
        "journal_age": 0.0,
        "waiting_size": 64 * 1024 * 1024,
        "waiting_age": 259_200.0,
        "trace_iterations": 500,
        "capture_logging": False,
        "redact": None,
        "web_config": None,
        "web_insecure": False,
        "web_hosts": None,
    }
    assert config.sources["prefix"] == "default"
    assert config.sources["home"] == "RALPH_OTEL_HOME"


GOOD: list[tuple[str, str, Any]] = [
    ("enabled", "false", False),
    ("enabled", "ON", True),
    ("prefix", "my.loop_2", "my.loop_2"),
    ("collection_interval", "1m30s", 90.0),
    ("collection_interval", "500ms", 0.5),
    ("collection_interval", "2.5", 2.5),
    ("enable_histograms", "0", False),
    ("duration_buckets", "0.5, 1,2.5", (0.5, 1.0, 2.5)),
    ("export_format", "json,OTLP", (F.JSON, F.OTLP)),
    ("export_format", "none", (F.NONE,)),
    ("export_format", "none,console", (F.CONSOLE,)),
    ("export_format", "statsd,statsd", (F.STATSD,)),
    ("export_target", " localhost:8125 ", "localhost:8125"),
    ("journal", "no", False),
    ("home", "/data/ralph", Path("/data/ralph")),
    ("home", "~/ralph", Path.home() / "ralph"),
    ("service_name", "nightly ✓", "nightly ✓"),
    ("resources", "off", False),
    ("queue_size", "1", 1),
    ("journal_size", "500MB", 500_000_000),
    ("journal_size", "1.5GiB", 3 << 29),
    ("journal_age", "2160h", 7_776_000.0),
    ("waiting_size", "1.5GiB", 1_610_612_736),
    ("waiting_age", "36h", 129_600.0),
    ("trace_iterations", "0", 0),
    ("capture_logging", "true", True),
    ("redact", "sk-[a-z]+|x", ("sk-[a-z]+|x",)),
    ("web_config", "/etc/ralph/web.yml", Path("/etc/ralph/web.yml")),
    ("web_insecure", "yes", True),
    ("web_hosts", "Loops.example.com., build_7", ("loops.example.com", "build_7")),
]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("1k", 1000),
        ("2 kB", 2000),
        ("1KiB", 1024),
        ("1mib", 1 << 20),
        ("3G", 3 * 10**9),
    ],
)
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert MetricsConfig(waiting_size=text).waiting_size == size


@pytest.mark.parametrize(("field", "text", "value"), GOOD)
def test_every_field_can_be_an_argument_a_variable_or_in_a_file(
    field: str, text: str, value: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    given_as_argument = MetricsConfig(**{field: text})  # type: ignore[arg-type]  # what it is given is the point
    assert (getattr(given_as_argument, field), given_as_argument.sources[field]) == (value, "argument")
    monkeypatch.delenv("RALPH_OTEL_HOME")
    (folder / "ralph-otel.toml").write_text(f'{field.replace("_", "-")} = "{text}"\n', encoding="utf-8")
    in_a_file = MetricsConfig()
    assert (getattr(in_a_file, field), in_a_file.sources[field]) == (value, "ralph-otel.toml")
    monkeypatch.setenv(f"RALPH_OTEL_{field.upper()}", text)
    in_a_variable = MetricsConfig()
    assert (getattr(in_a_variable, field), in_a_variable.sources[field]) == (value, f"RALPH_OTEL_{field.upper()}")
    assert heard == []


def test_every_field_is_in_that_table() -> None:
    assert {field for field, _, _ in GOOD} == set(MetricsConfig.__slots__) - {"sources"}


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ("duration_buckets", [1, 2.5], (1.0, 2.5)),
        ("duration_buckets", (0.1,), (0.1,)),
        ("export_format", F.JSON, (F.JSON,)),
        ("export_format", [F.JSON, "console"], (F.JSON, F.CONSOLE)),
        ("collection_interval", 30, 30.0),
        ("home", Path("/a/b"), Path("/a/b")),
        ("enabled", False, False),
        ("queue_size", 5, 5),
        ("waiting_size", 0, 0),
        ("waiting_age", 60, 60.0),
    ],
)
def test_arguments_may_have_pythons_types(field: str, given: Any, value: Any) -> None:
    assert getattr(MetricsConfig(**{field: given}), field) == value


def test_the_order_is_argument_variable_standard_variable_file_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def service_name(argument: str | None = None) -> tuple[str, str]:
        config = MetricsConfig(service_name=argument)
        return config.service_name, config.sources["service_name"]

    assert service_name() == ("ralph-loop", "default")
    (folder / "pyproject.toml").write_text('[tool.ralph-otel]\nservice-name = "from pyproject"\n')
    assert service_name() == ("from pyproject", "pyproject.toml")
    (folder / "ralph-otel.toml").write_text('service_name = "from toml"\n')
    assert service_name() == ("from toml", "ralph-otel.toml")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from otel")
    assert service_name() == ("from otel", "OTEL_SERVICE_NAME")
    monkeypatch.setenv("RALPH_OTEL_SERVICE_NAME", "from ours")
    assert service_name() == ("from ours", "RALPH_OTEL_SERVICE_NAME")
    assert service_name("given") == ("given", "argument")


@pytest.mark.parametrize(
    ("variables", "field", "value", "source"),
    [
        ({"OTEL_SDK_DISABLED": "TRUE"}, "enabled", False, "OTEL_SDK_DISABLED"),
        ({"OTEL_SDK_DISABLED": "yes"}, "enabled", True, "default"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "60000"}, "collection_interval", 60.0, "OTEL_METRIC_EXPORT_INTERVAL"),
        ({"OTEL_METRICS_EXPORTER": "console"}, "export_format", (F.CONSOLE,), "OTEL_METRICS_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "otlp,json"}, "export_format", (F.OTLP, F.JSON), "OTEL_METRICS_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "none"}, "export_format", (F.NONE,), "OTEL_METRICS_EXPORTER"),
        ({"OTEL_METRICS_EXPORTER": "debug"}, "export_format", (F.PROMETHEUS,), "default"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "export_format", (F.PROMETHEUS, F.OTLP),
         "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, "export_format", (F.PROMETHEUS, F.OTLP),
         "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_EXPORTER_PROMETHEUS_PORT": "9999"}, "export_target", "prometheus=127.0.0.1:9999",
         "OTEL_EXPORTER_PROMETHEUS_PORT"),
        ({"OTEL_EXPORTER_PROMETHEUS_HOST": "::1"}, "export_target", "prometheus=::1:9464",
         "OTEL_EXPORTER_PROMETHEUS_HOST"),
    ],
)  # fmt: skip
def test_the_standard_variables_are_honoured(
    variables: dict[str, str], field: str, value: Any, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    config = MetricsConfig()
    assert (getattr(config, field), config.sources[field]) == (value, source)


BAD: list[tuple[str, Any, str]] = [
    ("enabled", "perhaps", "'perhaps' will not do; it must be true or false"),
    ("prefix", "9lives", "'9lives' will not do; it must be a letter followed by"),
    ("prefix", "a" * 65, "will not do; it must be a letter followed by"),
    ("collection_interval", "soon", "'soon' will not do; it must be a duration such as 10s, 1m30s or 500ms"),
    ("collection_interval", "1ms", "'1ms' will not do; it must be a duration from 50ms to 1000000s, such as 10s"),
    ("collection_interval", 1e300, "1e+300 will not do; it must be a duration from 50ms to 1000000s"),
    ("collection_interval", -3, "-3 will not do; it must be a duration such as"),
    ("collection_interval", math.nan, "nan will not do; it must be a duration such as"),
    ("collection_interval", 10**400, "an integer of 1329 bits will not do; it must be a duration such as"),
    ("collection_interval", True, "True will not do; it must be a duration such as"),
    ("duration_buckets", "1,1", "'1,1' will not do; it must be growing upper bounds in seconds"),
    ("duration_buckets", "3,2", "will not do; it must be growing upper bounds in seconds"),
    ("duration_buckets", "", "will not do; it must be growing upper bounds in seconds"),
    ("duration_buckets", "1,inf", "will not do; it must be growing upper bounds in seconds"),
    ("duration_buckets", 5, "5 will not do; it must be growing upper bounds in seconds"),
    ("duration_buckets", [10**400], "list of 1 will not do; it must be growing upper bounds in seconds"),
    ("duration_buckets", list(range(300)), "list of 300 will not do; it must be growing upper bounds in seconds"),
    ("export_format", "promtheus", "'promtheus' will not do; it must be one or several of prometheus, otlp, console,"),
    ("export_format", [], "list of 0 will not do; it must be one or several of prometheus, otlp, console"),
    ("export_format", 7, "7 will not do; it must be one or several of prometheus, otlp, console"),
    ("export_target", "a\nb", r"'a\nb' will not do; it must be a text of 1 to 1024 printable characters"),
    ("journal", 2, "2 will not do; it must be true or false"),
    ("home", "~nobody-of-this-name/x", "'~nobody-of-this-name/x' will not do; it must be a folder"),
    ("home", "a\x00b", "will not do; it must be a"),
    ("service_name", "x" * 1025, "will not do; it must be a text of 1 to 1024 printable characters"),
    ("journal_size", "big", "'big' will not do; it must be a size such as 64MiB, 500kB or 0"),
    ("journal_size", -1, "-1 will not do; it must be a size such as 64MiB, 500kB or 0"),
    ("queue_size", 0, "0 will not do; it must be a whole number from 1 to 10000000"),
    ("queue_size", "many", "'many' will not do; it must be a whole number from 1 to 10000000"),
    ("queue_size", 10**5000, "bits will not do; it must be a whole number from 1 to 10000000"),
    ("waiting_size", -1, "-1 will not do; it must be a size such as 64MiB, 500kB or 0"),
    ("waiting_size", "64 parsecs", "'64 parsecs' will not do; it must be a size"),
    ("waiting_size", True, "True will not do; it must be a size"),
    ("waiting_age", "soon", "'soon' will not do; it must be a duration"),
    ("trace_iterations", -1, "-1 will not do; it must be a whole number from 0 to 10000000"),
]


@pytest.mark.parametrize(("field", "value", "said"), BAD, ids=[f"{bad[0]}-{n}" for n, bad in enumerate(BAD)])
def test_a_wrong_value_is_one_line_with_field_value_and_remedy_and_the_next_source_is_asked(
    field: str, value: Any, said: str, heard: list[str], folder: Path
) -> None:
    fallback = {"prefix": '"other"', "queue_size": "77"}.get(field)
    if fallback is not None:
        (folder / "ralph-otel.toml").write_text(f"{field} = {fallback}\n")
    config = MetricsConfig(**{field: value})
    [line] = heard
    assert line.startswith(f"ralph-otel: {field}: ")
    assert said in line
    assert "\n" not in line
    assert len(line) < 250
    default = {"prefix": "other", "queue_size": 77}.get(field, getattr(MetricsConfig(), field))
    assert getattr(config, field) == default


def test_a_wrong_variable_is_named_and_the_file_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    monkeypatch.setenv("RALPH_OTEL_QUEUE_SIZE", "lots")
    (folder / "ralph-otel.toml").write_text("queue-size = 42\n")
    config = MetricsConfig()
    assert (config.queue_size, config.sources["queue_size"]) == (42, "ralph-otel.toml")
    assert heard == [
        "ralph-otel: RALPH_OTEL_QUEUE_SIZE: 'lots' will not do; it must be a whole number from 1 to 10000000"
    ]


def test_a_home_that_will_not_do_leaves_the_usual_one(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    monkeypatch.setenv("RALPH_OTEL_HOME", "~nobody-of-this-name")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert MetricsConfig().home == Path.home() / ".local/state/ralph-otel"
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ralph-otel.toml", "prefix = ", "ralph-otel.toml: Invalid value"),
        ("ralph-otel.toml", "prefx = 'a'", "ralph-otel.toml: unknown field 'prefx'; known ones: enabled, prefix,"),
        ("ralph-otel.toml", "[prefix]\na = 1", "ralph-otel.toml: prefix: dict of 1 will not do; it must be a letter"),
        ("ralph-otel.toml", "x = " + "[" * 5000, "ralph-otel.toml: "),
        ("pyproject.toml", "[tool.ralph-otel]\nqueue_size = 1.5", "pyproject.toml: queue_size: 1.5 will not do"),
        ("pyproject.toml", "[tool]\nralph-otel = 3", ""),
        ("pyproject.toml", "tool = 3 # ralph-otel", ""),
        ("pyproject.toml", "[project]\nname = 'x'\n[broken", ""),
    ],
)  # fmt: skip
def test_a_file_that_will_not_do_is_one_line(name: str, text: str, said: str, folder: Path, heard: list[str]) -> None:
    (folder / name).write_text(text)
    config = MetricsConfig()
    assert (config.prefix, config.queue_size) == ("ralph_loop", 10_000)
    assert [line.startswith(f"ralph-otel: {said}") for line in heard] == ([True] if said else [])


def test_a_file_with_types_of_its_own(folder: Path, heard: list[str]) -> None:
    (folder / "ralph-otel.toml").write_text(
        'enabled = true\ncollection_interval = 2\nduration_buckets = [0.5, 1, 2]\nexport_format = ["json", "statsd"]\n'
    )
    config = MetricsConfig()
    assert (config.collection_interval, config.duration_buckets) == (2.0, (0.5, 1.0, 2.0))
    assert config.export_format == (F.JSON, F.STATSD)
    assert heard == []


def test_a_working_directory_that_is_gone_is_no_matter(folder: Path, heard: list[str]) -> None:
    os.rmdir(folder)  # noqa: PTH106 — its Path is about to lead nowhere
    assert MetricsConfig().prefix == "ralph_loop"
    assert heard == []


# -- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formats", "target", "expected"),
    [
        ("prometheus", None, {}),
        ("prometheus", "127.0.0.1:9500", {F.PROMETHEUS: "127.0.0.1:9500"}),
        ("statsd,json", "localhost:8125", {F.STATSD: "localhost:8125"}),
        ("prometheus,statsd", "prometheus=:9500,statsd=h:8125", {F.PROMETHEUS: ":9500", F.STATSD: "h:8125"}),
        ("prometheus,statsd", "prometheus=[::1]:9500, statsd=h:1", {F.PROMETHEUS: "[::1]:9500", F.STATSD: "h:1"}),
        ("otlp", "http://c:4318/v1?tenant=a", {F.OTLP: "http://c:4318/v1?tenant=a"}),
        ("otlp,json", "otlp=http://c:4318/v1?tenant=a,json=/tmp/x=y.json",
         {F.OTLP: "http://c:4318/v1?tenant=a", F.JSON: "/tmp/x=y.json"}),
        ("json", "/tmp/run=1.json", {F.JSON: "/tmp/run=1.json"}),
    ],
)  # fmt: skip
def test_each_format_gets_its_own_part_of_the_target(
    formats: str, target: str | None, expected: dict[MetricsExportFormat, str]
) -> None:
    config = MetricsConfig(export_format=formats, export_target=target)
    assert {format_: part for format_ in F if (part := config.target(format_)) is not None} == expected


# -- for every input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["10s", " 10s ", "10", "0.01m10s", "10000ms"])
def test_durations_are_seconds(text: str) -> None:
    expected = 10.6 if text == "0.01m10s" else 10.0
    assert seconds(text) == pytest.approx(expected)


@given(st.text(max_size=20) | st.integers() | st.floats() | st.booleans() | st.none() | st.binary(max_size=5))
def test_anything_as_a_duration_is_seconds_or_a_value_error(value: Any) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= seconds(value) < math.inf


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), anything))
def test_no_argument_raises(arguments: dict[str, Any]) -> None:
    config = MetricsConfig(**arguments)
    assert config.to_dict().keys() | {"sources"} == set(MetricsConfig.__slots__)


def test_a_machine_on_which_durations_cannot_be_read_has_the_usual_ones(
    heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "durationpy", None)  # as where there is no file handle left to read it with
    assert MetricsConfig(collection_interval="60s").collection_interval == 10
    assert len(heard) == 1
