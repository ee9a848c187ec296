#!/bin/bash
# In place of a coding agent: `claude`, whose variables say what it reports and does. `n` counts its calls.
#
#   COST     US dollars of a call
#   CONTEXT  percent of the context window, such as 50+n
#   EDITS    whether it writes a line and commits it
#   CODE     its exit code
#   SLEEP    seconds that it takes
cat > /dev/null # the prompt
calls=../calls
n=$(($(cat $calls 2> /dev/null || echo 0) + 1))
echo $n > $calls
sleep "${SLEEP:-0.1}"
if [ -n "$EDITS" ]; then
  seq $((n * 20)) $((n * 20 + 19)) >> code.txt
  git add code.txt
  git commit -qm "$n"
fi
usage="\"input_tokens\": $((2000 * (${CONTEXT:-20}))), \"output_tokens\": 100"
model="\"inputTokens\": $((2000 * (${CONTEXT:-20}))), \"outputTokens\": 100, \"contextWindow\": 200000, \"costUSD\": ${COST:-0.01}"
failed=$([ "${CODE:-0}" = 0 ] && echo false || echo true)
cat << END
{"type": "system", "subtype": "init", "session_id": "s$n", "model": "none"}
{"type": "assistant", "session_id": "s$n", "message": {"id": "m$n", "model": "none", "content": [], "usage": {$usage}}}
{"type": "result", "subtype": "success", "num_turns": 1, "session_id": "s$n", "is_error": $failed, "total_cost_usd": ${COST:-0.01}, "usage": {$usage}, "modelUsage": {"none": {$model}}}
END
exit "${CODE:-0}"
