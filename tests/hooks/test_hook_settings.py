"""The hooks in Claude Code's settings files."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.cli import cli
from ralph_otel.hooks import settings
from ralph_otel.hooks.rewriting import rewritten
from ralph_otel.hooks.settings import EVENTS, NEWER_EVENTS, SettingsError, install, uninstall

COMMAND = settings.command(portable=True)
THEIRS: dict[str, Any] = {
    "$schema": "https://json.schemastore.org/claude-code-settings.json",
    "zeta": {"ü": [1, 2.50, None]},
    "hooks": {
        "PostToolUse": [
            {"matcher": "Edit|Write", "hooks": [{"type": "command", "command": "ruff format"}]},
        ],
        "Stop": [{"hooks": [{"type": "command", "command": "my-ralph-otel hook 2>/dev/null || true"}], "later": True}],
        "Future": [{"hooks": [{"type": "prompt", "prompt": "ralph-otel hook"}]}],
    },
    "alpha": 1,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".claude" / "settings.json"


def put(path: Path, content: object, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, **options))


def ours(path: Path) -> dict[str, list[Any]]:
    """Our hooks in a file, by event."""
    hooks = json.loads(path.read_text()).get("hooks", {})
    found = {
        event: [hook for group in groups for hook in group["hooks"] if "ralph-otel hook 2>" in hook.get("command", "")]
        for event, groups in hooks.items()
    }
    return {event: hooks for event, hooks in found.items() if hooks}


@pytest.mark.parametrize("content", [None, "", " \n", "{}"])
def test_a_file_is_made_or_filled(path: Path, content: str | None) -> None:
    if content is not None:
        put(path, content)
    assert install(path, COMMAND) is True
    hook = {"type": "command", "command": COMMAND, "timeout": 5}
    assert json.loads(path.read_text()) == {"hooks": {event: [{"hooks": [hook]}] for event in EVENTS}}
    assert path.read_text().startswith('{\n  "hooks": {\n    "SessionStart"')


def test_what_is_there_stays_as_it_is(path: Path) -> None:
    put(path, THEIRS, indent=4, ensure_ascii=False)
    before = path.read_text()
    install(path, COMMAND)
    after = json.loads(path.read_text())
    assert list(after) == list(THEIRS)
    assert {**after, "hooks": None} == {**THEIRS, "hooks": None}
    for event, groups in THEIRS["hooks"].items():
        assert after["hooks"][event][: len(groups)] == groups
    assert list(after["hooks"])[:3] == ["PostToolUse", "Stop", "Future"]
    assert set(ours(path)) == set(EVENTS)
    assert '\n    "zeta": {\n        "ü"' in path.read_text()
    uninstall(path)
    assert path.read_text().rstrip("\n") == before


def test_a_second_time_changes_nothing(path: Path) -> None:
    put(path, THEIRS)
    install(path, COMMAND)
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert install(path, COMMAND) is False
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, written)


@pytest.mark.parametrize(
    "earlier",
    [
        "/old/place/bin/ralph-otel hook 2>/dev/null || true",
        "'/old pla'\"'\"'ce/ralph-otel' hook 2>/dev/null || true",
        settings.command(portable=True),
    ],
)
def test_hooks_of_another_installation_are_replaced(path: Path, earlier: str) -> None:
    put(path, THEIRS)
    install(path, earlier)
    new = "/new/bin/ralph-otel hook 2>/dev/null || true"
    assert install(path, new) is True
    text = path.read_text()
    assert (text.count(json.dumps(new)), text.count(json.dumps(earlier))) == (len(EVENTS), 0)
    uninstall(path)
    assert json.loads(path.read_text()) == THEIRS


def test_newer_events_are_put_in_and_out_as_told(path: Path) -> None:
    install(path, COMMAND, EVENTS + NEWER_EVENTS)
    assert set(ours(path)) == set(EVENTS + NEWER_EVENTS)
    install(path, COMMAND)
    assert set(ours(path)) == set(EVENTS)


def test_a_hook_of_ours_beside_another_leaves_it_alone(path: Path) -> None:
    theirs, mine = {"type": "command", "command": "x"}, {"type": "command", "command": COMMAND}
    put(path, {"hooks": {"Stop": [{"matcher": "", "hooks": [theirs, mine]}, {"hooks": [mine]}]}})
    assert uninstall(path) is True
    assert json.loads(path.read_text()) == {"hooks": {"Stop": [{"matcher": "", "hooks": [theirs]}]}}


def test_nothing_is_left_where_nothing_was(path: Path) -> None:
    put(path, {"model": "opus"})
    install(path, COMMAND)
    uninstall(path)
    assert json.loads(path.read_text()) == {"model": "opus"}


def test_a_file_that_was_made_for_the_hooks_goes_with_them(path: Path) -> None:
    install(path, COMMAND)
    assert uninstall(path) is True
    assert not path.exists()


def test_there_may_be_nothing_to_take_out(path: Path) -> None:
    assert uninstall(path) is False
    put(path, "{}\n")
    assert uninstall(path) is False
    assert path.read_text() == "{}\n"
    put(path, THEIRS)
    assert uninstall(path) is False
    assert path.read_text() == json.dumps(THEIRS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{nonsense", "is not JSON"),
        ('{"a": 1,}', "is not JSON"),
        ("// comment\n{}", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must hold an object"),
        ('{"hooks": []}', "hooks must be an object"),
        ('{"hooks": {"Stop": {}}}', "hooks.Stop must be an array"),
        ('{"hooks": {"Stop": ["x"]}}', "hooks.Stop must be an array"),
        ('{"hooks": {"Else": [{"hooks": {}}]}}', "hooks.Else must be an array"),
    ],
)
@pytest.mark.parametrize("change", [lambda path: install(path, COMMAND), uninstall])
def test_a_file_that_is_not_right_is_left_alone(path: Path, content: str, words: str, change: Any) -> None:
    put(path, content)
    with pytest.raises(SettingsError, match=words) as raised:
        change(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def test_bytes_that_are_no_text_are_not_json(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(SettingsError, match="is not JSON"):
        install(path, COMMAND)


def test_a_link_stays_one_and_its_file_keeps_its_mode(path: Path, tmp_path: Path) -> None:
    dotfiles = tmp_path / "dotfiles" / "claude.json"
    put(dotfiles, THEIRS)
    dotfiles.chmod(0o640)
    path.parent.mkdir()
    path.symlink_to(dotfiles)
    install(path, COMMAND)
    assert path.is_symlink()
    assert set(ours(dotfiles)) == set(EVENTS)
    assert stat.S_IMODE(dotfiles.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written_is_said(path: Path) -> None:
    put(path, THEIRS)
    path.parent.chmod(0o500)
    with pytest.raises(SettingsError, match="cannot be written"):
        install(path, COMMAND)
    path.parent.chmod(0o700)


def test_a_file_where_the_folder_should_be_is_said(path: Path) -> None:
    path.parent.write_text("")
    with pytest.raises(SettingsError, match="cannot be"):
        install(path, COMMAND)


_groups = st.lists(
    st.fixed_dictionaries(
        {
            "hooks": st.lists(
                st.fixed_dictionaries(
                    {"command": st.sampled_from(["a", "ralph-otel hook", "'", " hook 2>/dev/null || true"])}
                ),
                min_size=1,
            )
        },
        optional={"matcher": st.text(max_size=3)},
    ),
    min_size=1,
    max_size=3,
)


@given(hooks=st.dictionaries(st.sampled_from([*EVENTS, "Else"]), _groups), more=st.dictionaries(st.text(), st.none()))
def test_in_and_out_again_is_what_was_before(
    hooks: dict[str, Any], more: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.json"
    before = {**more, **({"hooks": hooks} if hooks else {})}
    put(path, before)
    install(path, COMMAND)
    uninstall(path)
    assert json.loads(path.read_text()) == before
    assert list(json.loads(path.read_text())) == list(before)


FORMS = (
    '{"a":1}',
    '{ "a" : [1,2 , 3], "b": {"c":null}}\n\n',
    '{\r\n    "a": 1.50,\r\n    "b": "\\u00fc/\\/"\r\n}\r\n',
    '\n{\n\t"permissions": {"allow": ["Bash(ls:*)", "Read"]},\n\t"hooks": {"Stop": [{"hooks": [{"command": "x"}]}]}\n}',
    '{"hooks": {"Stop": [ {"hooks": [ {"type":"command","command":"x"} ] } ], "Else": []}, "model": "opus"}',
    '{\n  "hooks": {\n    "Else": [{"matcher": "a]}", "hooks": []}]\n  },\n  "z": 1e3\n}\n',
)


@pytest.mark.parametrize("text", FORMS)
def test_in_and_out_again_leaves_every_byte(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode())
    install(path, COMMAND)
    assert set(ours(path)) == set(EVENTS)
    install(path, COMMAND, (*EVENTS, *NEWER_EVENTS))
    install(path, COMMAND)
    uninstall(path)
    assert path.read_bytes() == text.encode()


_json = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(before=_json, after=_json, indent=st.sampled_from([None, 1, "\t"]))
def test_a_text_that_is_rewritten_says_what_it_is_to_say(before: Any, after: Any, indent: Any) -> None:
    text = rewritten(json.dumps(before, indent=indent), after, "  ")
    assert json.loads(text) == after


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project and a user's home, in one folder."""
    (tmp_path / "proj").mkdir()
    (tmp_path / "user").mkdir()
    monkeypatch.chdir(tmp_path / "proj")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["hook", *arguments])


@pytest.mark.parametrize(
    ("arguments", "where"), [([], "proj"), (["--project"], "proj"), (["--user"], "user"), (["--all-events"], "proj")]
)
def test_install_and_uninstall(place: Path, arguments: list[str], where: str) -> None:
    path = place / where / ".claude" / "settings.json"
    done = invoke("install", *arguments)
    assert (done.exit_code, done.output.count("\n")) == (0, 1)
    assert done.output.startswith(f"{path}: hooks installed; events: SessionStart, ")
    assert len(json.loads(path.read_text())["hooks"]) == len(EVENTS) + len(NEWER_EVENTS) * ("--all-events" in arguments)
    assert "there already" in invoke("install", *arguments).output
    arguments = [argument for argument in arguments if argument != "--all-events"]
    assert "hooks removed" in invoke("uninstall", *arguments).output
    assert not path.exists()
    assert "there are no hooks" in invoke("uninstall", *arguments).output


def test_a_damaged_file_is_said_in_one_line(place: Path) -> None:
    put(place / "proj" / ".claude" / "settings.json", "{")
    for word in ("install", "uninstall"):
        done = invoke(word)
        assert done.exit_code == 1
        assert done.output.count("\n") == 1
        assert "is not JSON" in done.output


@pytest.mark.parametrize("portable", [True, False])
def test_the_command_records_and_fails_for_nobody(
    portable: bool, place: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Claude Code runs it, by `sh -c`; and where ralph-otel has been taken away since."""
    folder = place / "a b'c"
    folder.mkdir()
    program = folder / "ralph-otel"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ralph_otel "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    command = settings.command(portable)
    assert ("a b" in command) is not portable
    said = '{"session_id": "s", "hook_event_name": "UserPromptSubmit", "cwd": "/x", "prompt": ""}'
    for there in (True, False):
        if not there:
            program.unlink()
            monkeypatch.setenv("PATH", "/usr/bin:/bin")
        done = subprocess.run(["sh", "-c", command], input=said.encode(), capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert len(list(home.glob("runs/*.jsonl"))) == 1
