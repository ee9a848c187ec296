"""Keys, one after the other: each has had its effect before the next one counts.

Keys may arrive together: from somebody who types ahead, over a slow line, from a program. Textual gives each to the
widget that has the focus when it arrives; but what a key does, giving the focus to another say, comes about by messages
that stand behind the keys that have arrived already. So here the next key waits until those have been worked off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

_ROUNDS = 3
"""From the app to the widget and back: a key's action, the message it sends, the focus that is given by that."""
_PATIENCE = 3.0
"""Seconds that a widget may take for one round; one that has just been taken down never answers."""


class OneByOne(App[None]):
    """An app that takes keys, and what is pasted, one after the other."""

    def __init__(self, ansi_color: bool) -> None:
        super().__init__(ansi_color=ansi_color)
        self._waiting: deque[events.Event] = deque()
        self._turn: events.Event | None = None
        """The key that has its effect now."""
        self._settling: asyncio.Task[None] | None = None

    async def on_event(self, event: events.Event) -> None:
        """Take a key at once, or put it behind those that have come before."""
        typed = isinstance(event, (events.Key, events.Paste))
        if typed and not self.screen_stack:
            return  # it came after the key that ends all
        if not typed or event.is_forwarded:
            await super().on_event(event)
        elif self._turn is None or event is self._turn:
            self._turn = event
            await super().on_event(event)
            self._settling = asyncio.create_task(self._next())
        else:
            self._waiting.append(event)

    async def _next(self) -> None:
        """Let the next key have its turn, once this one has had its effect."""
        try:
            await self._settled()
        finally:
            self._turn = self._waiting.popleft() if self._waiting else None
            if self._turn is not None:
                self.post_message(self._turn)

    async def _settled(self) -> None:
        """Wait until the app and the widget with the focus have worked off what they have been sent."""
        for _ in range(_ROUNDS):
            for pump in self._at_work():
                reached = asyncio.Event()
                if pump.call_later(reached.set):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_PATIENCE):
                            await reached.wait()

    def _at_work(self) -> Iterator[MessagePump]:
        """The app, then the widget that has the focus by then; at the end there is no screen any more."""
        yield self
        if self.screen_stack and (focused := self.screen_stack[-1].focused) is not None:
            yield focused
