"""Routers: they choose the application that a connection goes to."""

from .host import HostRouter as HostRouter
from .path import PathRouter as PathRouter
from .protocol import ProtocolRouter as ProtocolRouter
