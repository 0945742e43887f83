"""What is told of a request or websocket when it is over.

Spec: OpenTelemetry semantic conventions 1.44, HTTP (names of fields, ``_OTHER``).
"""

from __future__ import annotations

from typing import Any, Literal

Outcome = Literal["completed", "failed", "client_disconnected", "cancelled", "incomplete", "no_response"]
CloseParty = Literal["application", "client", "abnormal"]

_KNOWN_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")  # RFC 9110, 5789, QUERY
)


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
        headers: Those of the request that are to be logged, lists of values by name in lower case.
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

    __slots__ = (
        *("bytes_received", "bytes_sent", "client", "client_port", "close_code", "close_reason", "closed_by"),
        *("complete", "duration", "error_type", "headers", "http_version", "kind", "location", "messages_received"),
        *("messages_sent", "method", "outcome", "path", "query", "referer", "request_id", "route", "scheme", "span_id"),
        *("status", "subprotocol", "time", "time_to_first_byte", "trace_id", "user", "user_agent"),
    )

    kind: Literal["http", "websocket"]
    time: float
    method: str
    scheme: str
    path: str
    query: str
    http_version: str
    route: str | None
    status: int | None
    outcome: Outcome
    error_type: str | None
    complete: bool
    duration: float
    time_to_first_byte: float | None
    bytes_received: int
    bytes_sent: int | None
    client: str | None
    client_port: int | None
    user: str | None
    referer: str | None
    user_agent: str | None
    location: str | None
    headers: dict[str, list[str]]
    request_id: str | None
    trace_id: str | None
    span_id: str | None
    subprotocol: str | None
    close_code: int | None
    close_reason: str | None
    closed_by: CloseParty | None
    messages_received: int
    messages_sent: int

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def fields(self) -> dict[str, Any]:
        """What is known, under the names of OpenTelemetry where it has one; nothing that is not known."""
        known = self.method in _KNOWN_METHODS
        fields: dict[str, Any] = {
            "http.request.method": self.method if known else "_OTHER",
            "http.request.method_original": None if known else self.method,
            "url.scheme": self.scheme,
            "url.path": self.path,
            "url.query": self.query or None,
            "http.route": self.route,
            "http.response.status_code": self.status,
            "outcome": self.outcome,
            "complete": self.complete,
            "error.type": self.error_type,
            "time_to_first_byte": self.time_to_first_byte,
            "client.address": self.client,
            "client.port": self.client_port,
            "network.protocol.version": self.http_version,
            "user.name": self.user,
            "user_agent.original": self.user_agent,
            "http.request.header.referer": self.referer,
            "http.response.header.location": self.location,
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
        }
        for name, values in self.headers.items():
            fields[f"http.request.header.{name}"] = values
        if self.kind == "http":
            fields["http.server.request.duration"] = self.duration
            fields["http.request.body.size"] = self.bytes_received
            fields["http.response.body.size"] = self.bytes_sent
        else:
            fields["websocket.duration"] = self.duration
            fields["websocket.subprotocol"] = self.subprotocol
            fields["websocket.close_code"] = self.close_code
            fields["websocket.close_reason"] = self.close_reason or None
            fields["websocket.closed_by"] = self.closed_by
            fields["websocket.messages_received"] = self.messages_received
            fields["websocket.messages_sent"] = self.messages_sent
            fields["websocket.bytes_received"] = self.bytes_received
            fields["websocket.bytes_sent"] = self.bytes_sent
        return {name: value for name, value in fields.items() if value is not None}
