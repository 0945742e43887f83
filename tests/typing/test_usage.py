"""The usage file does what it is typed to do: every function in it that makes something is called here."""

from __future__ import annotations

from inspect import isfunction
from typing import Any

import pytest
from django.conf import settings

if not settings.configured:
    settings.configure(
        LOGGING_CONFIG=None,
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["127.0.0.1"],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        STATIC_URL="/static/",
    )

from middleware import ProtocolRouter
from middleware.lint import LintError, LintMiddleware
from tests.asgi import CONNECT, call, http_scope, websocket_scope
from tests.typing import usage

NOT_CALLED_HERE = {"serve", "lint_errors", "untyped", "loose", "in_starlettes_types", "in_asgirefs_types"}
BUILDERS = {
    name: function
    for name, function in vars(usage).items()
    if isfunction(function) and function.__module__ == usage.__name__ and name not in NOT_CALLED_HERE
}
ORIGIN = {"headers": [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")]}


@pytest.mark.parametrize("name", BUILDERS)
def test_what_is_typed_can_be_made(name: str) -> None:
    assert BUILDERS[name]()


@pytest.mark.parametrize("name", ["starlette", "fastapi"])
async def test_http_and_websocket_reach_the_application(name: str) -> None:
    made = BUILDERS[name]()
    prefix = "/api" if name == "fastapi" else ""
    start, *_ = await call(made, http_scope(f"{prefix}/"))
    assert start["status"] == 200
    accept, *_ = await call(made, websocket_scope(f"{prefix}/ws"), CONNECT, {"type": "websocket.disconnect"})
    assert accept["type"] == "websocket.accept"


async def test_litestar_takes_the_class_as_its_middleware() -> None:
    start, *_ = await call(usage.litestar(), http_scope("/missing"))
    assert start["status"] == 404


@pytest.mark.parametrize("number", range(5))
async def test_channels_consumers_are_reached(number: int, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        return  # Channels is asyncio's
    router = usage.channels()[number]
    scope = websocket_scope("/chat/", **ORIGIN)
    accept, *_ = await call(router, scope, CONNECT, {"type": "websocket.disconnect", "code": 1000})
    assert accept["type"] == "websocket.accept"


@pytest.mark.parametrize("number", range(5))
async def test_layers_let_a_request_through(number: int) -> None:
    start, *_ = await call(usage.layers()[number], http_scope())
    assert start["status"] == 200


async def test_a_subclass_routes_and_tells_what_it_holds() -> None:
    router = usage.Router(usage.in_asgirefs_types)
    assert isinstance(router, ProtocolRouter)
    (accept,) = await call(router, websocket_scope(), CONNECT)
    assert accept["type"] == "websocket.accept"
    assert usage.attributes() == [usage.in_asgirefs_types, ["http", "lifespan", "websocket"], True]


async def test_a_lint_error_tells_side_rule_and_section() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(LintError) as caught:
        await call(LintMiddleware(silent), http_scope())
    side, rule, section = usage.lint_errors(caught.value)
    assert (side, rule) == ("application", "response-complete")
    assert section.startswith("ASGI")


def test_errors_are_read_by_attribute() -> None:
    assert usage.errors() == [("http", "write ProtocolRouter(http=get_asgi_application(), websocket=...)")]
