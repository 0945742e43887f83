"""What is told of a request or websocket when it is over.

Spec: OpenTelemetry semantic conventions 1.44, HTTP (names of fields, ``_OTHER``).
"""

from __future__ import annotations

from typing import Any, Literal

Outcome = Literal["completed", "failed", "client_disconnected", "cancelled", "incomplete", "no_response"]
CloseParty = Literal["application", "client", "abnormal"]

OTHER = "_OTHER"
DURATION = "http.server.request.duration"
HEADER = "http.request.header."
LOCATION = "http.response.header.location"


def _field(name: str, default: Any = None) -> Any:
    """A property that reads a field."""
    return property(lambda record: record._fields.get(name, default))


class RequestRecord:
    """One request, or one websocket, when it is over.

    Texts that came from outside are escaped (``\\n``, ``\\x1b``, ``\\\\``), so that they can be written to a log as
    they are, and credentials in them are ``REDACTED``.

    Attributes:
        kind: ``"http"`` or ``"websocket"``.
        time: When it came, in seconds since the epoch.
        method: As sent; ``GET`` for a websocket.
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        path: As sent, without the query.
        query: What stands behind the ``?``.
        http_version: ``"1.1"``, ``"2"``.
        route: The template that the framework matched, ``/items/{id}``; None if it is not known.
        status: Of the response: 101 for a websocket that was accepted, 500 for a failure before the response (the
            server sends that); None if the client left before, or the request was cancelled.
        outcome: ``"completed"``, ``"failed"``, ``"client_disconnected"``, ``"cancelled"``, ``"incomplete"`` (the
            application returned before the end of the response) or ``"no_response"``.
        error_type: The class of the exception that was raised.
        complete: Whether the whole response was handed to the server; of a websocket, whether it was closed or denied.
        duration: Seconds until the last byte was handed over, or the websocket closed.
        time_to_first_byte: Seconds until the response began, or the websocket was accepted; None if that never was.
        bytes_received: Of the body, or of all messages.
        bytes_sent: The same; None if the server sends a file of a length that is not known here.
        client: Address of the client.
        client_port: Its port.
        user: Who is logged in.
        referer: What the request says, as is ``user_agent``.
        user_agent: See there.
        location: Where the response redirects to.
        headers: Those of the request that are logged, lists of values by name in lower case.
        request_id: As ``RequestIdMiddleware`` gave it.
        trace_id: As ``TraceContextMiddleware`` gave it, as is ``span_id``.
        span_id: See there.
        subprotocol: Of the websocket.
        close_code: Of the websocket: 1000 and 1005 stand for none, 1006 for a connection that was lost.
        close_reason: What the side that closed it said.
        closed_by: ``"application"``, ``"client"``, ``"abnormal"``, or None.
        messages_received: Of the websocket, as is ``messages_sent``.
        messages_sent: See there.
    """

    __slots__ = ("_fields", "kind", "time")

    def __init__(self, kind: Literal["http", "websocket"], time: float, fields: dict[str, Any]) -> None:
        self.kind = kind
        self.time = time
        self._fields = fields

    def fields(self) -> dict[str, Any]:
        """What is known, under the names of OpenTelemetry where it has one; nothing that is not known."""
        return self._fields.copy()

    scheme: str = _field("url.scheme", "")
    path: str = _field("url.path", "")
    query: str = _field("url.query", "")
    http_version: str = _field("network.protocol.version", "1.1")
    route: str | None = _field("http.route")
    status: int | None = _field("http.response.status_code")
    outcome: Outcome = _field("outcome")
    error_type: str | None = _field("error.type")
    complete: bool = _field("complete", False)
    time_to_first_byte: float | None = _field("time_to_first_byte")
    client: str | None = _field("client.address")
    client_port: int | None = _field("client.port")
    user: str | None = _field("user.name")
    user_agent: str | None = _field("user_agent.original")
    request_id: str | None = _field("request_id")
    trace_id: str | None = _field("trace_id")
    span_id: str | None = _field("span_id")
    subprotocol: str | None = _field("websocket.subprotocol")
    close_code: int | None = _field("websocket.close_code")
    close_reason: str | None = _field("websocket.close_reason")
    closed_by: CloseParty | None = _field("websocket.closed_by")
    messages_received: int = _field("websocket.messages_received", 0)
    messages_sent: int = _field("websocket.messages_sent", 0)

    @property
    def method(self) -> str:
        fields = self._fields
        method: str = fields["http.request.method"]
        return fields["http.request.method_original"] if method == OTHER else method

    @property
    def duration(self) -> float:
        seconds: float = self._fields[DURATION if self.kind == "http" else "websocket.duration"]
        return seconds

    @property
    def bytes_received(self) -> int:
        count: int = self._fields["http.request.body.size" if self.kind == "http" else "websocket.bytes_received"]
        return count

    @property
    def bytes_sent(self) -> int | None:
        return self._fields.get("http.response.body.size" if self.kind == "http" else "websocket.bytes_sent")

    @property
    def headers(self) -> dict[str, list[str]]:
        found = [(name, value) for name, value in self._fields.items() if name.startswith(HEADER)]
        return {name.removeprefix(HEADER): value for name, value in found}

    @property
    def referer(self) -> str | None:
        values = self._fields.get(f"{HEADER}referer")
        return values[0] if values else None

    @property
    def location(self) -> str | None:
        values = self._fields.get(LOCATION)
        return values[0] if values else None

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path
