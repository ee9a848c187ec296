"""Whether iterations make progress: which one a measurement is about, and what that does to the streak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ralph_otel.state.iterations import OpenIteration

if TYPE_CHECKING:
    from ralph_otel.state.run import RunState


def settle_progress(state: RunState, made: bool | None) -> None:
    """Count what is known of the last finished iteration's progress."""
    if made is None:
        return
    state.iterations_with_progress += made
    state.no_progress_streak = 0 if made else state.streak_before + 1


def note_progress(state: RunState, made: bool, span_id: str | None) -> None:
    """Find the iteration that a measurement is about, and note there whether it made progress.

    That is the open one whose span it carries, or a finished one; else the one that is open; with none open the
    last that finished, when it has no measurement yet or this is its span; else the next to finish, whether others are
    open then or not, and beside what it has measured itself.
    """
    open_ = state.open_iterations.values()
    iteration = next((it for it in open_ if span_id is not None and it.span_id == span_id), None)
    last = state.last_iteration
    if iteration is None:
        earlier = next((it for it in reversed(state.recent) if span_id is not None and it.span_id == span_id), last)
        if earlier is not None and earlier is not last:
            settle_earlier(state, earlier, made)
            return
    late = last is not None and span_id is not None and last.span_id == span_id
    if iteration is None and open_ and not late:
        iteration = next(reversed(open_))
    if iteration is not None:
        iteration.progress = bool(iteration.progress) or made
    elif last is not None and (last.progress is None or late):
        if last.progress is None or (made and not last.progress):
            last.progress = made
            settle_progress(state, made)
    else:
        state.pending_progress = bool(state.pending_progress) or made


def settle_earlier(state: RunState, iteration: OpenIteration, made: bool) -> None:
    """Count what has become known of an iteration after which others have finished."""
    before, recent = iteration.progress, list(state.recent)
    if before:
        return
    iteration.progress = made
    state.iterations_with_progress += made
    since = [it.progress for it in recent[recent.index(iteration) + 1 :]]
    if True in since:  # the streak began after it
        return
    if made:
        state.no_progress_streak = since.count(False)
        state.streak_before = since[:-1].count(False)
    elif before is None:
        state.no_progress_streak += 1
        state.streak_before += 1
