#!/usr/bin/env bash
# A Ralph loop in bash, with telemetry: PROMPT.md to an agent, again and again, until the file DONE is there.
#
#   AGENT='claude -p --dangerously-skip-permissions' MOST=20 examples/loop.sh
#
# What ralph-otel cannot write costs a line on stderr, never the loop. While it runs, `ralph-otel export` shows its
# figures from another terminal.
set -uo pipefail
AGENT=${AGENT:-claude -p}
MOST=${MOST:-10}
name=${AGENT%% *}

RALPH_OTEL_RUN=$(ralph-otel emit loop.started name="${PWD##*/}" max_iterations="$MOST")
export RALPH_OTEL_RUN
reason=max_iterations
trap 'ralph-otel emit loop.stopped reason="$reason"' EXIT
trap 'reason=user_signal; exit 130' INT TERM

for ((i = 1; i <= MOST; i++)); do
  ralph-otel emit iteration.started

  TRACEPARENT=$(ralph-otel emit agent.started agent="${name##*/}") $AGENT < PROMPT.md
  code=$?

  ralph-otel emit agent.finished agent="${name##*/}" exit_code=$code
  ralph-otel emit iteration.finished exit_code=$code
  if [[ -e DONE ]]; then
    reason=file_found
    break
  fi
done
