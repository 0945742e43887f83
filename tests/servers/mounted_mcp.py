"""MCP servers beside Django: one mounted by the router, one by FastAPI."""

import os

from django.core.asgi import get_asgi_application
from fastapi import FastAPI
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette

from middleware import PathRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.django_settings")


def calculator() -> Starlette:
    server = MCPServer("calculator", log_level="WARNING")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    return server.streamable_http_app(streamable_http_path="/")


fastapi = FastAPI()
fastapi.mount("/mcp", calculator())

application = PathRouter({"/mcp": calculator(), "/fastapi": fastapi, "/": get_asgi_application()})
