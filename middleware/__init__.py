"""Independent, composable ASGI middleware: each class wraps any ASGI application."""

from ._errors import ConfigurationError
from .routing import HostRouter, PathRouter, ProtocolRouter
from .stack import Middleware, stack

__all__ = ["ConfigurationError", "HostRouter", "Middleware", "PathRouter", "ProtocolRouter", "stack"]

ConfigurationError.__module__ = __name__  # the name that tracebacks show is the one to import
