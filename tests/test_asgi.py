"""What can be wrapped, and what a user is told who passes something else; the copied scope."""

from __future__ import annotations

import functools
import subprocess
import sys
import types
from typing import Any
from unittest.mock import AsyncMock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint

from middleware._asgi import TRAIL, application_problem, call_with_copy
from tests.asgi import BODY, START, Spy, call, http_scope


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def returns_a_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    return app(scope, receive, send)


class Application:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class Consumer:
    @classmethod
    def as_asgi(cls) -> Any:
        return app


class ASGI2:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class WSGIHandler:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class Flask:
    def wsgi_app(self, environ: Any, start_response: Any) -> Any: ...

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


def create_app() -> Any:
    return app


def asgi2(scope: Any) -> Any: ...


def get_response(request: Any) -> Any: ...


async def aget_response(request: Any) -> Any: ...


@functools.wraps(get_response)
def inner(request: Any) -> Any: ...


def four(scope: Any, receive: Any, send: Any, more: Any) -> Any: ...


def get_request(request: Any) -> Any: ...


def as_asgi(wrapped: Any) -> Any:
    """As Channels' consumers and view adapters do: an application that says it is what it wraps."""

    @functools.wraps(wrapped, updated=())
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    return app


async def yields(scope: Any, receive: Any, send: Any) -> Any:
    yield


chat = types.ModuleType("chat.sockets")
chat.app = app  # type: ignore[attr-defined]
empty = types.ModuleType("chat.consumers")


@pytest.mark.parametrize(
    "value",
    [
        app,
        returns_a_coroutine,
        lambda *arguments: app(*arguments),
        Application(),
        Application().method,
        functools.partial(app),
        Starlette(),
        HTTPEndpoint,  # a class whose instances are awaited
        AsyncMock(),
        max,  # a builtin without a readable signature
        as_asgi(int),
        as_asgi(get_request),
    ],
    ids=str,
)
def test_what_can_be_called_with_scope_receive_and_send_is_taken(value: Any) -> None:
    assert application_problem("app", value) is None


MIDDLEWARE = "wrap `application` in asgi.py, not in MIDDLEWARE"
CASES = {
    "none": (None, "is not an application", "did a function forget to return it?"),
    "string": ("chat.sockets:app", "is a string", "import the application"),
    "module": (chat, "is a module", "pass the application in it: chat.sockets.app"),
    "module without one": (empty, "is a module", "pass the application in it"),
    "not callable": ({}, "is not callable", "pass an ASGI application: async def app(scope, receive, send)"),
    "class": (Application, "is a class", "create an instance: Application(...)"),
    "consumer": (Consumer, "is a class", "write Consumer.as_asgi()"),
    "ASGI 2 class": (ASGI2, "is an ASGI 2 application", "write asgiref.compatibility.double_to_single_callable(ASGI2)"),
    "ASGI 2": (asgi2, "an ASGI 2 application", "write asgiref.compatibility.double_to_single_callable(asgi2)"),
    "factory": (create_app, "a factory", "call it: create_app()"),
    "WSGI": (wsgi, "a WSGI application", "write asgiref.wsgi.WsgiToAsgi(wsgi)"),
    "WSGI object": (Flask(), "a WSGI application", "write asgiref.wsgi.WsgiToAsgi(...)"),
    "generator": (yields, "is a generator", "await send(...) instead"),
    "lambda": (lambda: app, "a factory", "call it and pass what it returns"),
    "Django's WSGI": (WSGIHandler(), "is Django's WSGI application", "use django.core.asgi.get_asgi_application()"),
    "other signature": (four, "cannot be called with (scope, receive, send)", "pass an ASGI application"),
    "get_response": (get_response, "Django's get_response", MIDDLEWARE),
    "async get_response": (aget_response, "Django's get_response", MIDDLEWARE),
    "wrapped get_response": (inner, "Django's get_response", MIDDLEWARE),
    "get_response under ASGI": (async_to_sync(aget_response), "Django's get_response", MIDDLEWARE),
    "get_response in a thread": (sync_to_async(get_response), "Django's get_response", MIDDLEWARE),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_application_is_refused_with_what_to_write_instead(name: str) -> None:
    value, reason, remedy = CASES[name]
    problem = application_problem("app", value)
    assert problem is not None
    assert reason in problem.reason
    assert remedy in problem.remedy
    assert problem.parameter == "app"
    assert problem.value is value


def test_a_called_function_is_refused_without_being_awaited() -> None:
    coroutine = app(None, None, None)
    problem = application_problem("app", coroutine)
    coroutine.close()
    assert problem is not None
    assert "pass the function itself, without calling it" in problem.remedy


def test_a_callable_whose_signature_cannot_be_read_is_taken_at_its_word() -> None:
    class Unreadable(Application):
        __signature__ = "none"

    class Failing(Application):
        @property
        def __signature__(self) -> Any:
            raise RuntimeError

    assert application_problem("app", Unreadable()) is None
    assert application_problem("app", Failing()) is None


async def test_the_copy_carries_the_changes_and_the_received_scope_does_not() -> None:
    spy = Spy()
    scope = http_scope("/api/items")
    before = dict(scope)
    await call_with_copy(spy, scope, {**scope, "root_path": "/api"}, None, lambda message: asyncio_noop())  # type: ignore
    copy = spy.calls[0][0]
    assert copy is not scope
    assert copy["root_path"] == "/api"
    assert scope == before


async def asyncio_noop() -> None: ...


async def test_what_the_application_adds_to_the_copy_is_handed_back_and_what_it_changes_is_not() -> None:
    async def adds(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/{id}"
        scope["path"] = "/other"
        await Spy()(scope, receive, send)

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        copy = {**scope, "root_path": "/api", "path_params": {}}
        await call_with_copy(adds, scope, copy, receive, send, ["root_path"])

    for root_path in ("", ...):
        scope = http_scope("/1", root_path=root_path)
        await call(layer, scope)
        assert (scope["route"], scope["path_params"]) == ("/{id}", {})
        assert (scope["path"], scope.get("root_path", ...)) == ("/1", root_path)


async def test_it_is_handed_back_before_the_response_begins_and_again_at_the_end() -> None:
    seen = []
    hint = {"type": "http.response.early_hint", "links": []}

    async def adds(scope: Any, receive: Any, send: Any) -> None:
        await send(hint)
        for key, message in (("route", START), ("late", {**BODY, "more_body": True}), ("later", BODY)):
            scope[key] = key
            await send(message)
        raise LookupError

    scope = http_scope()
    before = {*scope}

    async def send(message: Any) -> None:
        seen.append({*scope} - before)

    with pytest.raises(LookupError):
        copy = {key: value for key, value in scope.items() if key != "extensions"}
        await call_with_copy(adds, scope, copy, None, send)  # type: ignore[arg-type]
    assert seen == [set(), {"route"}, {"route"}, {"route"}]
    assert {*scope} - before == {"route", "late", "later"}


async def test_the_trail_leads_to_the_newest_copy_while_the_application_runs() -> None:
    seen = []

    async def innermost(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/{id}"
        await send(START)
        await send(BODY)

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        def inner(scope: Any, *rest: Any) -> Any:
            return call_with_copy(innermost, scope, {**scope}, *rest)

        await call_with_copy(inner, scope, {**scope}, receive, send)

    scope = http_scope()
    trail = scope[TRAIL] = [scope]

    class Watching(Spy):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            async def watch(message: Any) -> None:
                seen.append(trail[0].get("route"))
                await send(message)

            await layer(scope, receive, watch)

    await call(Watching(), scope)
    assert seen == ["/{id}", "/{id}"]
    trail.clear()
    await call(layer, scope)  # an emptied trail stays empty
    assert trail == []


LISTED = """
import django
from django.conf import settings
settings.configure(MIDDLEWARE=["django.middleware.common.CommonMiddleware", {name!r}], SECRET_KEY="x", ROOT_URLCONF="x")
from django.core.{protocol} import get_{protocol}_application
get_{protocol}_application()
"""


@pytest.mark.parametrize("protocol", ["asgi", "wsgi"])
@pytest.mark.parametrize("name", ["middleware.ProtocolRouter", "middleware.stack", "middleware.lint.LintMiddleware"])
def test_listed_in_djangos_middleware_setting_it_stops_django_and_says_where_it_belongs(
    name: str, protocol: str
) -> None:
    program = LISTED.format(name=name, protocol=protocol)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("middleware.ConfigurationError: ")
    assert MIDDLEWARE in last
