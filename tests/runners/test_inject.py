"""What happens in the Pythons below a launch, whatever their version and environment."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from sites import Site, loop, put_runner

from ralph_otel.runners.launched import INJECTED, VARIABLE, Launch, take_launch, without
from support.pythons import OLDER, VERSIONS, needed
from support.tape import lines_of


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    return needed(request.param)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def runner_site(site: Site) -> Site:
    """An environment with something that looks as ralphify does, for any Python."""
    return put_runner(site)


def test_a_loop_is_seen_in_any_supported_python(python: str, runner_site: Site) -> None:
    environment, path = runner_site.says(python, loop(runner_site))
    assert VARIABLE not in environment
    assert environment["PYTHONPATH"] == str(runner_site.folder)
    assert INJECTED not in path
    lines = lines_of(runner_site.runs / "launch-1.jsonl")
    [agent] = [line for line in lines if line["type"] == "agent.started"]
    assert environment["TRACEPARENT"] == f"00-{agent['trace_id']}-{agent['span_id']}-01"
    assert lines[-1]["reason"] == "max_iterations"


def test_files_are_private(runner_site: Site) -> None:
    runner_site.says(sys.executable, loop(runner_site))
    assert (runner_site.runs / "launch-1.jsonl").stat().st_mode & 0o777 == 0o600
    assert runner_site.runs.stat().st_mode & 0o777 == 0o700


def test_further_loops_get_further_journals(runner_site: Site) -> None:
    assert runner_site.run(sys.executable, loop(runner_site) + loop(runner_site)).returncode == 0
    assert runner_site.run(sys.executable, loop(runner_site)).returncode == 0
    names = sorted(path.name for path in runner_site.runs.iterdir())
    assert names == ["launch-1-2.jsonl", "launch-1-3.jsonl", "launch-1.jsonl"]
    for name in names:
        assert {line["loop"] for line in lines_of(runner_site.runs / name)} == {name.removesuffix(".jsonl")}


def test_a_python_that_is_no_runner_hands_the_launch_on_and_is_clean_itself(python: str, runner_site: Site) -> None:
    code = (
        "import json, os, sys\nprint(json.dumps([os.environ['RALPH_OTEL_LAUNCH'], os.environ['PYTHONPATH'], sys.path]))"
    )
    launch, variable, path = runner_site.says(python, code)
    assert launch == runner_site.launch.environment({})[VARIABLE]
    assert variable == f"{INJECTED}{os.pathsep}{runner_site.folder}"
    assert INJECTED not in path


def test_a_python_that_is_no_runner_imports_next_to_nothing(python: str, site: Site) -> None:
    code = "import sys; names = list(sys.modules); import json; print(json.dumps(names))"
    without = json.loads(site.run(python, code, injected=False).stdout)
    assert set(site.says(python, code)) - set(without) <= {"ralph_otel_hook", "__future__"}


def test_a_package_of_that_name_without_the_distribution_is_no_runner(runner_site: Site) -> None:
    shutil.rmtree(runner_site.folder / "ralphify-0.3.0.dist-info")
    code = "import os, ralphify; print('RALPH_OTEL_LAUNCH' in os.environ, ralphify.run_loop.__module__)"
    without_ralphify = Path(sys.base_prefix) / "bin" / "python3"
    done = runner_site.run(str(without_ralphify), code)
    assert (done.stdout, done.stderr) == ("True ralphify.engine\n", "")
    assert not runner_site.runs.exists()


def test_the_hosts_modules_are_its_own(python: str, runner_site: Site) -> None:
    runner_site.module("ralph_otel/__init__.py", "whose = 'theirs'\n")
    runner_site.module("ralph_otel/probe.py", "whose = 'theirs, too'\n")
    code = (
        "import json, sys, ralph_otel\n"
        "before = dict(sys.modules)\n"
        "import ralphify, ralph_otel.probe\n"
        "assert sys.modules['ralph_otel'] is before['ralph_otel']\n"
        "print(json.dumps([ralph_otel.whose, ralph_otel.probe.whose,"
        " [name for name in sys.modules if name.startswith('ralph_otel.')]]))"
    )
    assert runner_site.says(python, code) == ["theirs", "theirs, too", ["ralph_otel.probe"]]
    assert runner_site.run(python, loop(runner_site)).returncode == 0
    assert (runner_site.runs / "launch-1.jsonl").exists()


IN_PROCESS = """
from ralph_otel import runners
from ralph_otel.probe import Loop
lines = []
runners.attach_all(lambda name, **arguments: Loop(name, lines.append, **arguments))
"""


def test_a_host_that_attaches_before_it_imports_the_runner_sees_its_loops(runner_site: Site) -> None:
    code = f"{IN_PROCESS}{loop(runner_site)}print(len(lines), lines[-1]['type'])"
    done = runner_site.run(sys.executable, code, injected=False)
    assert done.stdout.splitlines()[-1].endswith("loop.stopped"), done.stderr


@pytest.mark.parametrize("late", [False, True])
def test_below_a_launch_a_host_that_attaches_as_well_does_not_see_loops_twice(runner_site: Site, late: bool) -> None:
    parts = ["import ralphify\n", IN_PROCESS] if late else [IN_PROCESS]
    code = f"{''.join(parts)}{loop(runner_site)}print(len(lines))"
    done = runner_site.run(sys.executable, code)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")
    assert [path.name for path in runner_site.runs.iterdir()] == ["launch-1.jsonl"]


@pytest.mark.parametrize("version", ["0.3.0", "0.9.9"])
def test_only_of_an_untested_version_it_is_said_once_what_is_not_seen(runner_site: Site, version: str) -> None:
    shutil.rmtree(runner_site.folder / "ralphify-0.3.0.dist-info")
    runner_site.distribution("ralphify", version)
    runner_site.module("ralphify/_agent.py", "def execute(cmd):\n    pass\n")
    engine = runner_site.folder / "ralphify" / "engine.py"
    engine.write_text(engine.read_text().replace("iteration=1, returncode", "number=1, returncode"))
    done = runner_site.run(sys.executable, loop(runner_site))
    assert (done.returncode, done.stdout) == (0, "")
    if version == "0.3.0":
        assert done.stderr == ""
    else:
        [line] = done.stderr.splitlines()
        assert line.startswith("ralph-otel: ralphify 0.9.9: not seen: agents")
        assert line.endswith("tested with ralphify 0.3.0")
    assert lines_of(runner_site.runs / "launch-1.jsonl")[-1]["type"] == "loop.stopped"


def test_an_untested_version_that_fits_is_seen_in_silence(runner_site: Site) -> None:
    shutil.rmtree(runner_site.folder / "ralphify-0.3.0.dist-info")
    runner_site.distribution("ralphify", "0.9.9")
    runner_site.says(sys.executable, loop(runner_site))
    assert lines_of(runner_site.runs / "launch-1.jsonl")[0]["runner_version"] == "0.9.9"


def test_the_environments_own_sitecustomize_runs(python: str, site: Site) -> None:
    site.module("sitecustomize.py", "import sys\nvalue = [__name__, __file__]\n")
    code = "import json, sys, sitecustomize; print(json.dumps([sitecustomize.value, 'sitecustomize' in sys.modules]))"
    assert site.says(python, code) == [["sitecustomize", str(site.folder / "sitecustomize.py")], True]


@pytest.mark.parametrize("text", ["raise ValueError('theirs')\n", "import not_there\n", "def broken(:\n"])
def test_a_broken_sitecustomize_is_reported_as_without(python: str, site: Site, text: str) -> None:
    site.module("sitecustomize.py", text)
    with_launch, without_launch = site.run(python, "print(1)"), site.run(python, "print(1)", injected=False)
    assert with_launch.stderr == without_launch.stderr
    assert with_launch.stdout == without_launch.stdout == "1\n"


def test_without_one_there_is_none(python: str, site: Site) -> None:
    code = "import json, sys; print(json.dumps('sitecustomize' in sys.modules))"
    expected = json.loads(site.run(python, code, injected=False).stdout)
    assert site.says(python, code) == expected


@pytest.mark.parametrize("version", OLDER)
def test_an_old_python_sees_nothing_of_it(version: str, site: Site) -> None:
    name = needed(version)
    site.module("sitecustomize.py", "value = 1\n")
    code = f"import sitecustomize, sys; print(sitecustomize.value, {INJECTED!r} in sys.path)"
    with_launch, without_launch = site.run(name, code), site.run(name, code, injected=False)
    assert (with_launch.stdout, with_launch.stderr) == (without_launch.stdout, without_launch.stderr)


LAUNCHES = ("", "nonsense", "a|b", "|||", "|ralphify.engine|0|", "x|ralphify.engine||/y", "x|ralphify.engine|0|\udcff")


@pytest.mark.parametrize("value", LAUNCHES)
def test_a_launch_that_makes_no_sense_is_none(runner_site: Site, value: str) -> None:
    changes = {"PYTHONPATH": f"{INJECTED}{os.pathsep}{runner_site.folder}", VARIABLE: value}
    done = runner_site.run(sys.executable, loop(runner_site), injected=False, **changes)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TRACEPARENT" not in json.loads(done.stdout)[0]
    assert not runner_site.runs.exists()


@pytest.mark.parametrize("path", [None, "/a", "/a:/b", ":/a", "/a:"])
def test_what_is_put_into_an_environment_comes_out_again(path: str | None) -> None:
    base = {"A": "1"} if path is None else {"A": "1", "PYTHONPATH": path}
    launch = Launch("run", Path("/some/folder|with a bar"), 7)
    environment = launch.environment(base)
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == INJECTED
    assert Launch("outer", Path("/o")).environment(environment)["PYTHONPATH"] == environment["PYTHONPATH"]
    assert without(environment) == base
    assert take_launch(environment) == launch
    assert environment == base
    assert take_launch(environment) is None
