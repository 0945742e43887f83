"""Routers: they choose the application that a connection goes to."""

from .protocol import ProtocolRouter as ProtocolRouter
