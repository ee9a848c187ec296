"""The API: every answer is what its description says, and the same figures as elsewhere."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from ralph_otel.runs import RunError, find, fold
from ralph_otel.views.report import gather
from ralph_otel.views.report.plain import plain
from support.shown import MARKUP, hostile, put, rich
from support.tape import Tape
from support.waiting import until
from support.watched import ago, loop_process

DESCRIPTION: Any = json.loads(resources.files("ralph_otel.web").joinpath("openapi.json").read_text(encoding="utf-8"))
RICH = "20261126T010000Z-rich00"


def valid(name: str, answer: Any) -> Any:
    """The answer, which is what the description says of its schema; times and counts too."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(answer)
    return answer


def ask(client: TestClient, path: str, status: int = 200) -> Any:
    """What is answered; it is what the description says of that address."""
    response = client.get(path)
    assert response.status_code == status, response.text
    parts = path.partition("?")[0].removeprefix("/api/").split("/")
    address = f"/api/{parts[0]}" + ("/{run}" if len(parts) > 1 else "") + (f"/{parts[2]}" if len(parts) > 2 else "")
    content = DESCRIPTION["paths"][address]["get"]["responses"][str(status)]["content"]["application/json"]
    return valid(content["schema"]["$ref"].rpartition("/")[2], response.json())


def test_the_description_is_served_and_is_itself_right(client: TestClient) -> None:
    assert client.get("/api/openapi.json").json() == DESCRIPTION
    for schema in DESCRIPTION["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] != "object" or schema["additionalProperties"] is False
    assert set(DESCRIPTION["paths"]) == {path.replace(":path", "") for path in paths_of(client) if "/api/" in path}


def paths_of(client: TestClient) -> list[str]:
    """The addresses that the application knows."""
    app: Any = client.app
    return [route.path for route in app.routes]


def test_without_runs_the_list_is_empty(client: TestClient, home: Path) -> None:
    answer = ask(client, "/api/runs")
    assert (answer["runs"], answer["reading"], answer["home"]) == ([], False, str(home))
    assert "no run" in ask(client, "/api/runs/latest", 404)["error"]


def test_the_list_has_the_runs_that_are_under_way_first(client: TestClient, home: Path) -> None:
    put(home, rich(), ago(Tape("now", "20261126T030000Z-now000").iteration(1, 1), 30))
    runs = ask(client, "/api/runs")["runs"]
    assert [(run["name"], run["state"], run["good"]) for run in runs] == [
        ("now", "running", None),
        ("fix-bugs", "stopped", True),
    ]


def test_a_run_in_short_has_the_figures_of_its_fold(client: TestClient, home: Path) -> None:
    put(home, rich())
    (run,) = ask(client, "/api/runs")["runs"]
    metrics = fold(home / "runs" / f"{RICH}.jsonl").run.metrics()
    assert run["iterations"] == metrics.total_iterations == 12
    assert run["successful_iterations"] == metrics.successful_iterations == 9
    assert run["execution_time"] == metrics.total_execution_time
    assert run["cost"] == metrics.rollups["all"].cost == pytest.approx(1.44)
    assert (run["tests"]["passing"], run["tests"]["total"]) == (41, 44)
    assert run["outcomes"] == (["success"] * 3 + ["failure"]) * 3
    assert (run["reboots"], run["max_iterations"], run["runner"]) == (3, 50, "ralphify 0.3.0")
    assert len(run["contexts"]) == 12
    assert run["tests"]["trend"][0] == pytest.approx(31 / 33)


def test_a_run_has_the_charts_and_tables_of_its_report(client: TestClient, home: Path) -> None:
    put(home, rich())
    answer = ask(client, f"/api/runs/{RICH}")
    charts = {chart["name"]: chart for chart in answer["charts"]}
    assert list(charts) == ["durations", "context", "tests", "cost", "progress"]
    assert charts["context"]["level"] == 85
    assert charts["context"]["marked"] == [3, 7, 11]
    assert charts["cost"]["series"][0]["values"][-1] == pytest.approx(1.44)
    assert all(len(series["values"]) == 12 for chart in charts.values() for series in chart["series"])
    titles = [table["title"] for table in answer["tables"]]
    assert {"Reboots", "Tools", "Tokens and cost by model", "Failing tests"} <= set(titles)
    assert "All iterations" not in titles
    assert answer["status"].startswith("Stopped, tests passed")
    assert {"title": "Iterations", "text": "12 of 50"} in answer["facts"]


def test_iterations_have_what_was_in_them(client: TestClient, home: Path) -> None:
    put(home, rich())
    answer = ask(client, f"/api/runs/{RICH}/iterations")
    report = plain(gather(home / "runs" / f"{RICH}.jsonl", home))
    numbers = [row["number"] for row in answer["iterations"]]
    assert numbers == list(range(12, 0, -1))
    first = answer["iterations"][-1]
    assert {key: first[key] for key in report["iterations"][0]} == report["iterations"][0]
    parts = {part["kind"]: part for part in first["parts"]}
    assert (parts["agent"]["name"], parts["agent"]["outcome"]) == ("claude", "success")
    assert (parts["tests"]["name"], parts["tests"]["outcome"]) == ("", "failure")
    assert [parts[kind]["offset"] for kind in ("agent", "tests")] == pytest.approx([1, 41], abs=0.01)
    assert [parts[kind]["duration"] for kind in ("agent", "tests")] == pytest.approx([38, 4], abs=0.01)
    assert [part["name"] for part in first["parts"] if part["kind"] == "tool"] == ["Read", "Edit", "Bash"]
    reboot = next(part for part in answer["iterations"][0]["parts"] if part["kind"] == "reboot")
    assert (reboot["name"], reboot["duration"]) == ("redline", pytest.approx(2, abs=0.01))
    assert (answer["total"], answer["before"]) == (12, None)


def test_iterations_come_in_pages_without_a_gap(client: TestClient, home: Path) -> None:
    put(home, rich())
    found: list[int] = []
    before: int | None = 1000
    while before is not None:
        answer = ask(client, f"/api/runs/{RICH}/iterations?most=5&before={before}")
        found += [row["number"] for row in answer["iterations"]]
        before = answer["before"]
    assert found == list(range(12, 0, -1))


@pytest.mark.parametrize("query", ["most=0", "most=501", "most=x", "before=-1", "before=1e3", "before=" + "9" * 30])
def test_a_page_that_cannot_be_is_one_line(query: str, client: TestClient, home: Path) -> None:
    put(home, rich())
    assert "must be a whole number" in ask(client, f"/api/runs/{RICH}/iterations?{query}", 400)["error"]


def test_what_goes_on_has_no_end_yet(client: TestClient, home: Path) -> None:
    tape = Tape("now", "now").add(1, "iteration.started", iteration=1).add(2, "agent.started", agent="claude")
    put(home, ago(tape, 60))
    (row,) = ask(client, "/api/runs/now/iterations")["iterations"]
    assert (row["running"], row["outcome"], row["ended"]) == (True, None, None)
    assert row["parts"] == [
        {"kind": "agent", "name": "claude", "offset": pytest.approx(1, abs=0.01), "duration": None, "outcome": None},
    ]


def test_two_runs_stand_beside_each_other_on_one_scale(client: TestClient, home: Path) -> None:
    put(home, rich(), rich("20261126T013000Z-rich01", "other", turns=4))
    answer = ask(client, f"/api/compare?a={RICH}&b=20261126T013000Z-rich01")
    assert [run["name"] for run in answer["runs"]] == ["fix-bugs", "other"]
    figures = {figure["name"]: figure for figure in answer["figures"]}
    assert (figures["iterations"]["values"], figures["iterations"]["difference"]) == (["12", "4"], "+200%")
    assert figures["success_ratio"]["difference"] == "same"
    assert len(answer["charts"]) == 5
    assert all(one["top"] == other["top"] for one, other in answer["charts"])


def test_a_chart_that_one_of_them_has_not_is_left_open(client: TestClient, home: Path) -> None:
    put(home, rich(), ago(Tape("bare", "bare").iteration(1, 1), 60))
    answer = ask(client, f"/api/compare?a={RICH}&b=bare")
    assert {(one["name"], other is None) for one, other in answer["charts"]} >= {("cost", True), ("durations", False)}
    figures = {figure["name"]: figure for figure in answer["figures"]}
    assert (figures["cost_usd"]["values"], figures["cost_usd"]["difference"]) == (["$1.44", None], None)


def test_the_runs_before_are_those_of_the_same_loop(client: TestClient, home: Path) -> None:
    put(home, rich("20261125T010000Z-rich01", age=90_000, turns=8), rich("20261125T000000Z-oth000", "other"), rich())
    answer = ask(client, f"/api/runs/{RICH}/earlier")
    assert answer["runs"] == ["20261125T010000Z-rich01"]
    figures = {figure["name"]: figure for figure in answer["figures"]}
    assert figures["iterations"]["values"] == ["12", "8"]


def test_a_run_that_is_not_followed_is_read_when_it_is_asked_for(home: Path) -> None:
    from ralph_otel.serving import Admission
    from ralph_otel.web.feed import Feed
    from ralph_otel.web.library import Library
    from ralph_otel.web.routes import application

    put(home, rich())
    library = Library(home, most=0)
    with TestClient(application(library, Feed(library, 0.1), Admission()), "http://localhost") as client:
        assert ask(client, "/api/runs")["runs"] == []
        for part in (RICH, "rich00", "latest"):
            assert ask(client, f"/api/runs/{part}")["run"]["run"] == RICH


@pytest.mark.parametrize(
    "path", ["nobody", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "%00", "x" * 5000, "a.jsonl", "latest%2F..", "%FF"]
)
def test_no_path_leads_out_of_the_folder(path: str, client: TestClient, home: Path) -> None:
    (home.parent / "secret.jsonl").parent.mkdir(exist_ok=True)
    Tape(run="secret").write(home.parent / "secret.jsonl")
    put(home, rich())
    if path != "latest%2F..":
        assert ask(client, f"/api/runs/{path}", 404)["error"]
    assert client.get(f"/api/runs/{path}%2F..%2F..%2Fsecret").status_code in (200, 404)
    assert b"secret" not in client.get("/api/runs/..%2Fsecret").content.replace(b"'../secret'", b"")


def test_a_journal_that_is_a_link_is_not_followed(client: TestClient, home: Path) -> None:
    outside = Tape("outside", "outside").write(home.parent / "outside.jsonl")
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "link.jsonl").symlink_to(outside)
    assert ask(client, "/api/runs")["runs"] == []
    assert client.get("/api/runs/link").status_code in (404, 500)
    assert b"outside" not in client.get("/api/runs/link").content


def test_the_latest_run_is_the_one_that_every_command_means(client: TestClient, home: Path) -> None:
    put(home, rich())
    outside = Tape("outside", "outside").write(home.parent / "outside.jsonl")
    (home / "runs" / "20991231T235959Z-link00.jsonl").symlink_to(outside)
    assert ask(client, "/api/runs/latest")["run"]["run"] == RICH == find("latest", home).stem


def test_a_part_of_an_id_that_fits_several_runs_is_answered_as_on_the_command_line(
    client: TestClient, home: Path
) -> None:
    put(home, rich(), Tape("other", f"{RICH}-2"))
    with pytest.raises(RunError) as error:
        find("2026", home)
    assert ask(client, "/api/runs/2026", 404)["error"] == str(error.value)


def test_of_a_file_with_two_runs_each_has_its_address(client: TestClient, home: Path) -> None:
    put(home, Tape("one", "both").iteration(1, 1))
    with (home / "runs" / "both.jsonl").open("ab") as file:
        file.write(Tape("two", "second").write(home / "second").read_bytes())
    keys = {run["run"]: run["name"] for run in ask(client, "/api/runs")["runs"]}
    assert keys == {"both": "one", "both/second": "two"}
    response = client.get("/api/runs/both%2Fsecond")
    assert valid("Run", response.json())["run"]["name"] == "two"
    assert valid("Iterations", client.get("/api/runs/both%2Fsecond/iterations").json())["iterations"] == []


def test_names_are_what_the_journal_says_and_the_answer_is_json(client: TestClient, home: Path) -> None:
    put(home, hostile())
    (run,) = ask(client, "/api/runs")["runs"]
    assert run["name"].startswith(MARKUP)
    assert run["tool"].startswith(MARKUP)
    response = client.get("/api/runs/latest")
    assert valid("Run", response.json())
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_amounts_beyond_all_measure_are_still_json(client: TestClient, home: Path) -> None:
    tape = Tape("late", "late").add(0, "iteration.started", iteration=1)
    for number in (1, 2):
        tape.add(1, "usage.measured", cost_usd=1e300, output_tokens=2**62).add(1, "context.measured", percent=1e300)
        tape.add(1, "tool.called", tool="Bash", outcome="success", duration=1e300)
        tape.add(1, "iteration.finished", iteration=number, outcome="success", duration=1e300)
    tape.lines[-1]["ts"] = 2**63 - 1
    put(home, tape)
    assert ask(client, "/api/runs")["runs"][0]["iterations"] > 0
    for path in ("/api/runs/late", "/api/runs/late/iterations", "/api/compare?a=late&b=late"):
        ask(client, path)


def test_a_killed_loop_is_dead_and_not_good(client: TestClient, home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl") as loop:
        loop.add("iteration.started", iteration=1)
        assert ask(client, "/api/runs/r")["run"]["state"] == "running"
    until(lambda: ask(client, "/api/runs")["runs"][0]["state"] == "dead")
    (run,) = ask(client, "/api/runs")["runs"]
    assert (run["state"], run["good"], run["iteration"]) == ("dead", False, None)
    assert ask(client, "/api/runs/r")["status"].startswith("Killed")


def test_an_answer_that_is_known_is_not_sent_again(client: TestClient, home: Path) -> None:
    put(home, rich())
    path = f"/api/runs/{RICH}/earlier"
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
