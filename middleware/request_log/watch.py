"""What is noted of a connection while it lasts, and how that becomes a record."""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter_ns, time
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote

from .record import HEADER, OTHER, RequestRecord
from .routes import route_of
from .text import decoded, printable, short
from .trace_context import TraceContext

if TYPE_CHECKING:
    from .._asgi import Receive, Scope, Send
    from .log import Log
    from .record import Outcome

_SAFE = "/:@!$&'()*+,;=~%"  # RFC 3986 §3.3, and what is quoted already
# RFC 9110 §9.3, RFC 5789, draft-ietf-httpbis-safe-method-w-body
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))
_EXITS = (Exception, KeyboardInterrupt, SystemExit)


class Watch:
    """What http and websocket have in common. The request is noted as it came: frameworks change their scope."""

    __slots__ = (
        *("_client", "_headers", "_log", "_method", "_path", "_query", "_receive", "_scheme", "_scope", "_send"),
        *("_sends_raise", "_trail", "_version"),
        *("began", "bytes_received", "bytes_sent", "first", "has_left", "is_complete", "is_told", "status", "time"),
    )

    kind: ClassVar[Literal["http", "websocket"]]

    def __init__(self, log: Log, scope: Scope, receive: Receive, send: Send, trail: list[Scope]) -> None:
        self.time = time()
        self.began = perf_counter_ns()
        self._log, self._scope, self._receive, self._send, self._trail = log, scope, receive, send, trail
        method = scope.get("method")
        self._method = "GET" if method is None else method
        self._path = scope.get("raw_path") or scope.get("path") or ""
        self._query = scope.get("query_string") or b""
        self._headers = scope.get("headers") or ()
        self._client = scope.get("client")
        self._scheme = scope.get("scheme") or ""
        self._version = scope.get("http_version") or "1.1"
        self._sends_raise = _sends_raise(scope.get("asgi"))
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
        except OSError as error:
            # What else is an OSError comes from older servers and layers: of deadlines, of files.
            if self._sends_raise or isinstance(error, ConnectionError):
                self.has_left = not isinstance(error, TimeoutError | FileNotFoundError)
            raise

    def record(self, error: BaseException | None) -> RequestRecord:
        now = perf_counter_ns()
        fields = self._request()
        outcome = self._outcome(error)
        fields["outcome"] = outcome
        fields["complete"] = self.is_complete
        if self.status is not None:
            fields["http.response.status_code"] = self.status
        elif outcome in ("failed", "no_response"):
            fields["http.response.status_code"] = 500  # which is what servers send then
        if error is not None and _is_failure(error):
            fields["error.type"] = printable(_name_of(error))
        if self.first is not None:
            fields["time_to_first_byte"] = (self.first - self.began) / 1e9
        self._add_own(fields, (now - self.began) / 1e9)
        self._add_scope(fields)
        return RequestRecord(self.kind, self.time, fields)

    def _outcome(self, error: BaseException | None) -> Outcome:
        if self.is_complete:
            return "completed"
        if self.has_left:
            return "client_disconnected"
        if error is not None:
            return "failed" if _is_failure(error) else "cancelled"
        return "no_response" if self.status is None else "incomplete"

    def _request(self) -> dict[str, Any]:
        """What the request says."""
        log, path, method = self._log, self._path, self._method
        path = decoded(path) if isinstance(path, bytes) else _quoted(path)
        if path[:1] != "/" or "?" in path:  # what is asked of a proxy, and what some servers do not split
            path = log.redaction.url(path)
        fields: dict[str, Any] = {
            "http.request.method": method,
            "url.scheme": short(self._scheme),
            "url.path": printable(path),
            "network.protocol.version": short(self._version),
        }
        if method not in _METHODS:
            fields["http.request.method"] = OTHER
            fields["http.request.method_original"] = printable(method)
        if self._query:
            fields["url.query"] = printable(log.redaction.query(decoded(self._query)))
        if self._client:
            host, port = [*self._client, None][:2]
            if host is not None:
                fields["client.address"] = short(host)
            if port is not None:
                fields["client.port"] = port
        wanted = log.request_headers
        for name, value in self._headers:
            if name == b"user-agent":
                fields["user_agent.original"] = short(value)
            elif name == b"referer" or (wanted and name in wanted):
                key = name.decode()
                shown = printable(log.redaction.header(key, decoded(value)))
                fields.setdefault(HEADER + key, []).append(shown)
        return fields

    def _add_own(self, fields: dict[str, Any], duration: float) -> None:
        """Add what only one of http and websocket has."""
        raise NotImplementedError

    def _add_scope(self, fields: dict[str, Any]) -> None:
        """Add what layers and frameworks inside of us have left in the scope."""
        scope = self._scope
        newest = self._trail[0] if self._trail else scope
        route = route_of(newest)
        if route is not None:
            fields["http.route"] = short(route)
        user = self._log.user_of(newest)
        if user is not None:
            fields["user.name"] = printable(user)
        name = newest.get("request_id") or scope.get("request_id")
        if isinstance(name, str):  # somebody else's may be anything
            fields["request_id"] = printable(name)
        trace = newest.get("trace_context") or scope.get("trace_context")
        if isinstance(trace, TraceContext):
            fields["trace_id"], fields["span_id"] = trace.trace_id, trace.span_id


@lru_cache(16)
def _is_late(version: str) -> bool:
    major, _, minor = version.partition(".")
    return (int(major), int(minor)) >= (2, 4)


def _sends_raise(asgi: Any) -> bool:
    """Whether ``send`` raises OSError when the client has left: since ASGI HTTP & WebSocket 2.4."""
    try:
        return _is_late(asgi["spec_version"])
    except (AttributeError, TypeError, KeyError, ValueError):
        return False


def _quoted(path: str) -> str:
    """A path that the server has decoded, as it may have been sent."""
    try:
        return quote(path, _SAFE, errors="surrogateescape")
    except UnicodeEncodeError:
        return quote(path, _SAFE, errors="surrogatepass")


def _is_failure(error: BaseException) -> bool:
    """Whether an exception is more than the end of a cancelled task."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(_EXITS) is not None
    return isinstance(error, _EXITS)


def _name_of(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
