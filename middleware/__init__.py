"""Independent, composable ASGI middleware: each class wraps any ASGI application."""

from ._errors import ConfigurationError
from .compression import CompressionMiddleware, GZipMiddleware
from .cors import CORSMiddleware, WebSocketOriginMiddleware
from .request_log import (
    RequestIdFilter,
    RequestIdMiddleware,
    RequestLogMiddleware,
    TraceContextMiddleware,
    outgoing_headers,
    request_id,
    trace_context,
)
from .routing import HostRouter, PathRouter, ProtocolRouter
from .sessions import (
    DjangoSessionMiddleware,
    MemoryStore,
    RedisStore,
    Session,
    SessionMiddleware,
    SessionStore,
    SQLiteStore,
)
from .stack import Middleware, outermost, stack

__all__ = [
    "CORSMiddleware",
    "CompressionMiddleware",
    "ConfigurationError",
    "DjangoSessionMiddleware",
    "GZipMiddleware",
    "HostRouter",
    "MemoryStore",
    "Middleware",
    "PathRouter",
    "ProtocolRouter",
    "RedisStore",
    "RequestIdFilter",
    "RequestIdMiddleware",
    "RequestLogMiddleware",
    "SQLiteStore",
    "Session",
    "SessionMiddleware",
    "SessionStore",
    "TraceContextMiddleware",
    "WebSocketOriginMiddleware",
    "outermost",
    "outgoing_headers",
    "request_id",
    "stack",
    "trace_context",
]

ConfigurationError.__module__ = __name__  # the name that tracebacks show is the one to import
