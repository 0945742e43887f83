"""Independent, composable ASGI middleware: each class wraps any ASGI application."""

from ._errors import ConfigurationError
from .routing import ProtocolRouter
from .stack import Middleware, stack

__all__ = ["ConfigurationError", "Middleware", "ProtocolRouter", "stack"]
