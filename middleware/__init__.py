"""Independent, composable ASGI middleware: each class wraps any ASGI application."""

from ._errors import ConfigurationError
from .compression import CompressionMiddleware, GZipMiddleware
from .cors import CORSMiddleware, WebSocketOriginMiddleware
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
    "SQLiteStore",
    "Session",
    "SessionMiddleware",
    "SessionStore",
    "WebSocketOriginMiddleware",
    "outermost",
    "stack",
]

ConfigurationError.__module__ = __name__  # the name that tracebacks show is the one to import
