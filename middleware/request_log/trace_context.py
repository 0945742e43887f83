"""The place of each request in a distributed trace: what the caller says, and what to tell whom we call.

    application = TraceContextMiddleware(application)
    ...
    await client.get(url, headers=outgoing_headers())

No spans are recorded here; the ids are for logs and for the next service. What a caller sends is taken over if it keeps
to the specification in every character, else the trace begins here.

Spec: W3C Trace Context Level 2, §3 (request headers), §4.3 (mutating), §5.1 (random trace ids).
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from .._asgi import application_problem
from .._errors import refuse
from .._headers import values
from .current import Current, random_id
from .hooks import trust_of, trust_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._asgi import ASGIApp

_KEY = "trace_context"
_TRACEPARENT = re.compile(  # §3.2.2: version 00 ends behind the flags, what later ones have there is not looked at
    rb"(?:(00)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?(1)|(?:-.*)?)",
    re.DOTALL,
)
_MEMBER = re.compile(rb"([a-z0-9][a-z0-9_*/@-]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]")  # §3.3.1
_MAX_MEMBERS = 32
_SAMPLED, _RANDOM = 1, 2

_current: ContextVar[Current[TraceContext] | None] = ContextVar("trace_context", default=None)


class TraceContext(NamedTuple):
    """The place of a request in a trace.

    Args:
        trace_id: 32 hexadecimal digits, the same in all services that the trace goes through.
        span_id: 16 hexadecimal digits that stand for this request.
        parent_id: Those of the caller, None where the trace begins here.
        sampled: Whether the caller may have recorded it; True where it begins here.
        random: Whether the last 56 bits of ``trace_id`` are random; True where it begins here.
        tracestate: What tracing systems say to themselves, for the next service; "" for nothing.
        link: The trace of a caller that is not trusted.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = True
    random: bool = True
    tracestate: str = ""
    link: str | None = None


class Parent(NamedTuple):
    """What a ``traceparent`` says."""

    trace_id: str
    parent_id: str
    sampled: bool
    random: bool


def trace_context() -> TraceContext | None:
    """The place in a trace of the request that is being served; None outside of requests."""
    current = _current.get()
    return None if current is None else current.value


def outgoing_headers() -> dict[str, str]:
    """The headers for one call to another service, with an id of its own for each; none outside of requests."""
    current = _current.get()
    if current is None:
        return {}
    context = current.value
    flags = _SAMPLED * context.sampled | _RANDOM * context.random
    headers = {"traceparent": f"00-{context.trace_id}-{random_id()[:16]}-{flags:02x}"}
    if context.tracestate:
        headers["tracestate"] = context.tracestate
    return headers


class TraceContextMiddleware:
    """Know the place of each request and websocket in a trace (W3C Trace Context Level 2).

    It is in ``scope["trace_context"]`` and in ``trace_context()``; ``outgoing_headers()`` hands it on. Where
    ``traceparent`` is malformed or doubled, another trace begins, without ``tracestate``; where only that is malformed,
    it is dropped alone. An instance inside another one does nothing.

    Args:
        app: The ASGI application to wrap.
        trust: Whether traces of callers go on here; or a function of the scope that returns True where they do. The
            trace of a caller that is not trusted is the ``link`` of the one that begins here.

    Raises:
        ConfigurationError: If an argument is wrong.
    """

    __slots__ = ("_trust", "app")

    def __init__(self, app: ASGIApp, *, trust: bool | Callable[[Any], bool] = True) -> None:
        refuse("TraceContextMiddleware", [application_problem("app", app), trust_problem(trust)])
        self._trust = trust_of("TraceContextMiddleware", trust)
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or _KEY in scope:
            return await self.app(scope, receive, send)
        headers = scope.get("headers") or ()
        found = values(headers, b"traceparent")
        parent = parse_traceparent(found[0]) if len(found) == 1 else None
        trust, span_id = self._trust, random_id()[:16]
        if parent is None:
            context = TraceContext(random_id(), span_id)
        elif trust is True or (trust is not False and trust(scope)):
            state = parse_tracestate(values(headers, b"tracestate"))
            context = TraceContext(parent.trace_id, span_id, parent.parent_id, parent.sampled, parent.random, state)
        else:
            context = TraceContext(random_id(), span_id, link=parent.trace_id)
        scope[_KEY] = context
        current = Current(_current, context)
        try:
            await self.app(scope, receive, send)
        finally:
            current.end()


def parse_traceparent(value: bytes) -> Parent | None:
    """What the value of the header says, None if it is malformed."""
    match = _TRACEPARENT.fullmatch(value.strip(b" \t"))
    if match is None:
        return None
    _, trace_id, parent_id, digits = match.groups()
    flags = int(digits, 16)
    return Parent(trace_id.decode(), parent_id.decode(), bool(flags & _SAMPLED), bool(flags & _RANDOM))


def parse_tracestate(fields: Iterable[bytes]) -> str:
    """The members of all fields in one, without empty ones, the first of each key; "" if any is malformed."""
    members: dict[bytes, bytes] = {}
    count = 0
    for field in b",".join(fields).split(b","):
        member = field.strip(b" \t")
        if not member:
            continue
        count += 1
        match = _MEMBER.fullmatch(member)
        if match is None or count > _MAX_MEMBERS:
            return ""
        members.setdefault(match[1], member)
    return b",".join(members.values()).decode()
