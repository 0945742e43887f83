"""What is noted of a connection while it lasts, and how that becomes a record."""

from __future__ import annotations

from time import perf_counter_ns, time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._asgi import TRAIL
from .record import RequestRecord
from .routes import route_of
from .text import printable

if TYPE_CHECKING:
    from .._asgi import Receive, Scope, Send
    from .log import Log
    from .record import Outcome

_SAFE = "/:@!$&'()*+,;=~%"  # RFC 3986 §3.3, and what is quoted already
_EXITS = (Exception, KeyboardInterrupt, SystemExit)


class Watch:
    """What http and websocket have in common. The request is noted as it came: frameworks change their scope."""

    __slots__ = (
        *("_client", "_headers", "_log", "_method", "_path", "_query", "_receive", "_scope", "_send", "_sends_raise"),
        *("began", "bytes_received", "bytes_sent", "first", "has_left", "is_complete", "is_told", "status", "time"),
    )

    def __init__(self, log: Log, scope: Scope, receive: Receive, send: Send) -> None:
        self.time = time()
        self.began = perf_counter_ns()
        self._log, self._scope, self._receive, self._send = log, scope, receive, send
        self._method = scope.get("method", "GET")
        self._path = scope.get("raw_path") or scope.get("path") or ""
        self._query = scope.get("query_string") or b""
        self._headers = scope.get("headers") or ()
        self._client = scope.get("client")
        # Since 2.4, send() raises OSError when the client has left (ASGI HTTP & WebSocket).
        self._sends_raise = scope.get("asgi", {}).get("spec_version", "2.0") >= "2.4"
        self.first: int | None = None
        self.status: int | None = None
        self.bytes_received = self.bytes_sent = 0
        self.has_left = self.is_complete = self.is_told = False

    def begin(self, status: int) -> None:
        """Note that the response begins."""
        if self.status is None:
            self.first, self.status = perf_counter_ns(), status

    def end(self, error: BaseException | None = None) -> None:
        """Tell of the request, once; a log that fails is no failure of the request."""
        if not self.is_told:
            self.is_told = True
            self._log.tell(self, error)

    async def sending(self, message: Any) -> None:
        """Send, and note that the client has left."""
        try:
            await self._send(message)
        except OSError:
            self.has_left = True
            raise

    def record(self, error: BaseException | None) -> RequestRecord:
        now, log = perf_counter_ns(), self._log
        record = RequestRecord()
        record.time = self.time
        record.duration = (now - self.began) / 1e9
        record.time_to_first_byte = None if self.first is None else (self.first - self.began) / 1e9
        record.bytes_received, record.bytes_sent = self.bytes_received, self.bytes_sent
        record.complete = self.is_complete
        record.outcome = self._outcome(error)
        record.error_type = None if error is None or record.outcome == "cancelled" else _name_of(error)
        record.status = self.status
        if self.status is None and record.outcome in ("failed", "no_response"):
            record.status = 500  # which is what servers send then
        self._take_request(record)
        self._take_rest(record)
        self._take_scope(record)
        record.user = log.user_of(self._newest())
        return record

    def _outcome(self, error: BaseException | None) -> Outcome:
        if self.is_complete:
            return "completed"
        if self.has_left:
            return "client_disconnected"
        if error is not None:
            return "failed" if isinstance(error, _EXITS) else "cancelled"
        return "no_response" if self.status is None else "incomplete"

    def _take_request(self, record: RequestRecord) -> None:
        scope, redaction, wanted = self._scope, self._log.redaction, self._log.request_headers
        path = self._path
        record.method = printable(self._method)
        record.path = printable(path if isinstance(path, bytes) else quote(path, _SAFE, errors="surrogateescape"))
        record.query = redaction.query(printable(self._query)) if self._query else ""
        record.scheme = printable(scope.get("scheme", ""))
        record.http_version = printable(scope.get("http_version", "1.1"))
        host, port = self._client or (None, None)
        record.client = None if host is None else printable(str(host))
        record.client_port = port
        record.referer = record.user_agent = None
        record.headers = {}
        for name, value in self._headers:
            name = name.lower()
            if name == b"user-agent":
                record.user_agent = printable(value)
            elif name == b"referer":
                record.referer = redaction.url(printable(value))
            if name in wanted:
                key = name.decode()
                record.headers.setdefault(key, []).append(redaction.header(key, printable(value)))

    def _take_rest(self, record: RequestRecord) -> None:
        """What only one of http and websocket has."""
        raise NotImplementedError

    def _take_scope(self, record: RequestRecord) -> None:
        """What layers and frameworks inside of us have left in the scope."""
        newest, scope = self._newest(), self._scope
        route = route_of(newest) or (route_of(scope) if scope is not newest else None)
        record.route = None if route is None else printable(route)
        record.request_id = newest.get("request_id") or scope.get("request_id")
        trace = newest.get("trace_context") or scope.get("trace_context")
        record.trace_id, record.span_id = (trace.trace_id, trace.span_id) if trace else (None, None)

    def _newest(self) -> Scope:
        trail = self._scope.get(TRAIL)
        return trail[0] if trail else self._scope


def _name_of(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
