"""CORS: which pages of other sites may use the application, from a browser, over http and websockets."""

from .handshakes import WebSocketOriginMiddleware as WebSocketOriginMiddleware
from .middleware import CORSMiddleware as CORSMiddleware
