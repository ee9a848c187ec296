"""Shell scripts behave under `ralph-otel run` as without it: output, exit code, streams, files."""

from __future__ import annotations

import re
import shutil

import pytest
from scripts import Done, Workplace, launched, program

SHELLS = [name for name in ("bash", "dash", "zsh", "ksh") if shutil.which(name)]
SCRIPTS = {
    "success": "claude -p out:hello err:oops",
    "failure": "claude out:hello exit:3",
    "failure in the middle": "claude out:a; claude exit:5; echo $?; claude out:b",
    "set -e": "set -e; claude out:a; claude exit:5; claude out:b",
    "signal": "claude out:x die:15; echo $?",
    "signal at the end": "exec claude out:x die:15",
    "quit": "claude out:x die:3; echo $?",
    "killed": "claude out:x die:9; echo $?",
    "loop": "i=0; while [ $i -lt 3 ]; do i=$((i+1)); claude -p out:$i < /dev/null; done",
    "until it fails": "until claude out:x exit:7; do break; done",
    "pipe": "echo prompt | claude stdin out:a | tr a b",
    "json through a pipe": "claude -p json:1 | grep -c type",
    "output to a file": "claude out:a err:b json:1 > log 2>&1; cat log",
    "output appended": "claude out:a >> log; claude out:b >> log; cat log",
    "output and errors in their order": "claude out:1 err:2 out:3 err:4 out:5 err:6 2>&1 | cat",
    "output captured": 'text=$(claude out:a exit:4); echo "[$text] $?"',
    "stdin from a file": "echo prompt > p; claude stdin < p",
    "stdin closed": "claude out:a <&-",
    "stdout closed": "claude err:a >&-",
    "stdout closed, and written to": "claude out:a 2>/dev/null >&-; echo $?",
    "all closed, and written to": "claude json:1 2>&- >&- <&-; echo $?",
    "stderr closed": "claude out:a 2>&-",
    "all closed": "claude exit:3 <&- >&- 2>&-; echo $?",
    "only two open": "claude err:a <&- >&-",
    "a full device": "claude out:a 2>/dev/null > /dev/full; echo $?",
    "nowhere": "claude out:a err:b > /dev/null 2>&1",
    "quoting": """claude 'out:two  words' "out:it's" out:\\$HOME 'out:a"b' out: 'out:ä
next' "$(printf 'out:tab\\tend')" """,
    "many arguments": "claude $(seq 1 2000 | sed s/^/x/) out:end",
    "not utf-8": "claude \"$(printf 'x:\\377\\376')\" out:a",
    "function": 'agent() { claude "$@"; }; agent out:a',
    "subshell": "(cd / && claude out:a); claude out:b",
    "command": "command claude out:a",
    "exec": "exec claude out:a exit:6",
    "env": "env X=1 claude out:a",
    "nohup": "nohup claude out:a 2>/dev/null",
    "timeout in time": "timeout 20 claude out:a exit:9; echo $?",
    "xargs": "printf 'out:a\\nout:b\\n' | xargs -n1 claude",
    "another folder last": 'PATH="$PATH:/nonexistent:"; claude out:a',
    "a folder of its own": "mkdir sub; cd sub; claude out:a",
    "background": "claude out:a > one & claude out:b > two; wait; cat one two",
    "no such agent": "codex out:a; echo $?; claude out:a",
    "reader that leaves": "claude raw:50 | head -c 10 | wc -c; echo $?",
    "how each end of a pipe ends": "claude raw:50 | head -c 10 > /dev/null; echo ${PIPESTATUS[*]:-none}",
    "alias": "shopt -s expand_aliases 2>/dev/null\nalias agent='claude out:a'\nagent out:b",
    "at a terminal of its own": "script -qec 'claude out:a; claude out:b exit:3' /dev/null; echo $?",
    "here document": "claude stdin out:a << 'END'\nsome text\nEND",
    "process substitution": "[ -z \"$BASH_VERSION\" ] || eval 'cat <(claude out:a) <(claude out:b)'; claude out:c",
    "umask and limits": "umask 077; ulimit -n 200; claude touch:made out:a; stat -c %a made 2>/dev/null; ls made",
    "nice": "nice -n 3 claude out:a",
    "sudo-like": "setsid -w claude out:a exit:3; echo $?",
    "a path with its own order": 'PATH="/usr/bin:$PATH:/bin" claude out:a',
    "traps": "trap 'echo trapped' EXIT; claude exit:1",
    "exit code of a pipe": "claude exit:3 | cat; echo $?; ! claude exit:3; echo $?",
}


def settled(done: Done, place: Workplace) -> Done:
    """An ending without what differs from one folder to another."""
    stdout, stderr = (text.replace(str(place.folder).encode(), b"") for text in (done.stdout, done.stderr))
    return Done(stdout, re.sub(rb" *\b\d+ (?=Killed|Quit)", b" PID ", stderr), done.returncode)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_behaves_as_without(place: Workplace, bare: Workplace, shell: str, name: str) -> None:
    for each in (place, bare):
        program(each.folder / "ralph.sh", f"#!/usr/bin/env {shell}\n{SCRIPTS[name]}\n")
    expected = settled(bare.run(["./ralph.sh"]), bare)
    found = settled(place.run(launched("./ralph.sh")), place)
    assert found == expected
