"""Request log: one true record of each request and websocket; request ids and trace context."""

from .middleware import RequestLogMiddleware
from .record import RequestRecord
from .request_id import RequestIdFilter, RequestIdMiddleware, request_id
from .trace_context import TraceContext, TraceContextMiddleware, outgoing_headers, trace_context

__all__ = [
    "RequestIdFilter",
    "RequestIdMiddleware",
    "RequestLogMiddleware",
    "RequestRecord",
    "TraceContext",
    "TraceContextMiddleware",
    "outgoing_headers",
    "request_id",
    "trace_context",
]
