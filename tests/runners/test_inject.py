"""What happens in the Pythons below a launch, whatever their version and environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.runners.launched import INJECTED, VARIABLE, Launch, take_launch, without
from support.tape import lines_of

NAMES = ("python3.9", "python3.10", "python3.12", "python3.13", "python3.14")
OLD_NAMES = ("python2", "python2.7", "python3.6", "python3.7", "python3.8")


def works(command: str) -> bool:
    """Whether there is a Python by that name, and not only a placeholder for one."""
    path = shutil.which(command)
    return path is not None and subprocess.run([path, "-c", "1"], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=[sys.executable, *NAMES])
def python(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name if works(name) else pytest.skip(f"no {name} on PATH")


class Site:
    """A folder on PYTHONPATH that is the environment of a Python, and a launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "home" / "runs"
        self.launch = Launch("launch-1", self.runs, 50)
        folder.mkdir()

    def module(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def distribution(self, name: str, version: str) -> None:
        self.module(
            f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )

    def run(self, python: str, code: str, injected: bool = True, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {**environment, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **changes}
        if injected:
            environment = self.launch.environment(environment)
        return subprocess.run(
            [python, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def says(self, python: str, code: str) -> Any:
        """What the code prints, read as JSON; nothing else may be said."""
        done = self.run(python, code)
        assert done.stderr == ""
        return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def runner_site(site: Site) -> Site:
    """An environment with something that looks as ralphify does, for any Python."""
    site.distribution("ralphify", "0.3.0")
    site.module("ralphify/__init__.py", "from ralphify.engine import run_loop\n")
    site.module("ralphify/_agent.py", "import subprocess\n\ndef execute(cmd):\n    subprocess.Popen(cmd).wait()\n")
    site.module(
        "ralphify/engine.py",
        """
import types
from ralphify import _agent

class Kind:
    def __init__(self, value): self.value = value

class Event:
    def __init__(self, kind, **data): self.type, self.data = Kind(kind), data

class Deaf:
    def emit(self, event): pass

def run_loop(config, state, emitter=None):
    emitter = emitter or Deaf()
    emitter.emit(Event("run_started", ralph_name="fake", max_iterations=1))
    emitter.emit(Event("iteration_started", iteration=1))
    _agent.execute(config.agent.split())
    emitter.emit(Event("iteration_completed", iteration=1, returncode=0, duration=0.5))
    emitter.emit(Event("run_stopped", reason="completed", total=1))
""",
    )
    site.module("agent.py", "import json, os, sys; print(json.dumps([dict(os.environ), sys.path]))\n")
    return site


def loop(site: Site) -> str:
    """Code that runs a loop whose agent prints its environment and its path."""
    return (
        "import sys, types, ralphify\n"
        f"agent = sys.executable + ' {site.folder}/agent.py'\n"
        "ralphify.run_loop(types.SimpleNamespace(agent=agent, max_iterations=1), None)\n"
    )


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


@pytest.mark.parametrize("name", OLD_NAMES)
def test_an_old_python_sees_nothing_of_it(name: str, site: Site) -> None:
    if not works(name):
        pytest.skip(f"no {name} on PATH")
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
