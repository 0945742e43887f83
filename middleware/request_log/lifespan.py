"""The start and the end of an application, as they pass.

Spec: ASGI Lifespan 2.0.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .._asgi import Receive, Send
    from .log import Log

_DONE = {"startup": "the application has started", "shutdown": "the application has shut down"}
_FAILED = {"startup": "the application did not start", "shutdown": "the application did not shut down well"}


class Lifespan:
    """One lifespan."""

    __slots__ = ("_began", "_log", "_receive", "_send", "phase")

    def __init__(self, log: Log, receive: Receive, send: Send) -> None:
        self._log, self._receive, self._send = log, receive, send
        self._began = 0.0
        self.phase = ""  # what is under way

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] in ("lifespan.startup", "lifespan.shutdown"):
            self.phase, self._began = message["type"].removeprefix("lifespan."), perf_counter()
        return message

    def send(self, message: Any) -> Awaitable[None]:
        kind = message["type"]
        if self.phase and kind == f"lifespan.{self.phase}.complete":
            self._tell(logging.INFO, _DONE[self.phase])
        elif self.phase and kind == f"lifespan.{self.phase}.failed":
            self.fail(message.get("message") or "")
        return self._send(message)

    def fail(self, reason: object) -> None:
        """Tell that what is under way has failed. (One that was never asked to start does not know lifespan.)"""
        if self.phase:
            try:
                text = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)
            except Exception:
                text = type(reason).__name__
            if text.startswith("Traceback"):  # as Starlette sends it
                text = text.strip().rpartition("\n")[2]
            self._tell(logging.ERROR, _FAILED[self.phase], printable(text))

    def _tell(self, level: int, text: str, reason: str = "") -> None:
        duration, phase = perf_counter() - self._began, self.phase
        self.phase = ""
        fields = {"lifespan.phase": phase, "lifespan.duration": duration}
        if reason:
            fields["error.message"] = reason
        text = f"{text}: {reason}" if reason else f"{text}, in {duration:.3f} s"
        self._log.say("lifespan", level, text, **fields)
