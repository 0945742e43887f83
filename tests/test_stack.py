"""Layers, the first one outermost."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import starlette.middleware
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from middleware import ConfigurationError, Middleware, outermost, stack
from tests.asgi import (
    CONNECT,
    REQUEST,
    SHUTDOWN,
    STARTUP,
    Client,
    Spy,
    call,
    http_scope,
    lifespan_scope,
    websocket_scope,
)


class Layer:
    def __init__(self, app: Any, name: str = "", *, order: list[str] | None = None) -> None:
        self.app, self.name, self.order = app, name, order if order is not None else []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.order.append(self.name)
        await self.app(scope, receive, send)


class Failing(Layer):
    def __init__(self, app: Any) -> None:
        raise LookupError("mine")


class Refusing(Layer):
    def __init__(self, app: Any) -> None:
        raise ConfigurationError("Refusing", [])


def test_middleware_is_starlettes_own() -> None:
    assert Middleware is starlette.middleware.Middleware


async def test_the_first_layer_is_the_outermost() -> None:
    order: list[str] = []
    spy = Spy()
    app = stack(spy, Middleware(Layer, "first", order=order), Middleware(Layer, name="second", order=order))
    await call(app, http_scope())
    assert order == ["first", "second"]
    assert len(spy.calls) == 1


def test_without_layers_it_is_the_application() -> None:
    spy = Spy()
    assert stack(spy) is spy


def test_a_function_that_makes_a_layer_is_taken() -> None:
    spy = Spy()
    made = stack(spy, Middleware(lambda app: Layer(app, "made")))
    assert isinstance(made, Layer)
    assert made.app is spy


def test_what_makes_a_layer_is_taken_however_many_arguments_it_has() -> None:
    def make(app: Any, name: str, order: list[str]) -> Layer:
        return Layer(app, name, order=order)

    for layer in (Middleware(make, "made", []), Middleware(functools.partial(CORSMiddleware, allow_origins=["*"]))):
        spy = Spy()
        made: Any = stack(spy, layer)
        assert made.app is spy


def test_all_wrong_layers_and_the_wrong_application_are_refused_at_once() -> None:
    layers: Any = [Layer, Layer(Spy()), Middleware(Layer), [Middleware(Layer)], "Layer"]
    with pytest.raises(ConfigurationError) as caught:
        stack(None, *layers)  # type: ignore[arg-type]
    assert [(p.parameter, p.remedy) for p in caught.value.problems] == [
        ("app", "did a function forget to return it? pass the ASGI application"),
        ("layer 1", "write Middleware(Layer)"),
        ("layer 2", "write Middleware(Layer, ...)"),
        ("layer 4", "unpack it: stack(app, *middleware)"),
        ("layer 5", "write Middleware(SomeMiddleware, ...)"),
    ]


def test_what_is_no_class_inside_of_middleware_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        stack(Spy(), Middleware(Layer(Spy())), Middleware(5), Middleware("a:b"))  # type: ignore[arg-type]
    assert [(p.parameter, p.remedy) for p in caught.value.problems] == [
        ("layer 1", "write Middleware(Layer, ...)"),
        ("layer 2", "write Middleware(SomeMiddleware, ...)"),
        ("layer 3", "write Middleware(SomeMiddleware, ...)"),
    ]


@pytest.mark.parametrize("failing", [Failing, Refusing])
def test_an_error_in_the_construction_names_the_layer(failing: Any) -> None:
    with pytest.raises(Exception) as caught:
        stack(Spy(), Middleware(Layer), Middleware(failing))
    (note,) = caught.value.__notes__
    assert note == f"while stack() constructed layer 2 of 2 (1 is outermost): {failing.__name__}"


def test_an_unknown_keyword_stays_a_type_error_and_names_the_layer() -> None:
    with pytest.raises(TypeError, match="colour") as caught:
        stack(Spy(), Middleware(Layer, colour="red"))  # type: ignore[call-arg]
    assert "layer 1 of 1" in caught.value.__notes__[0]


def test_the_note_shows_no_argument_of_the_layer() -> None:
    with pytest.raises(TypeError) as caught:
        stack(Spy(), Middleware(Failing, "s3cret"))  # type: ignore[call-arg]
    assert "s3cret" not in caught.value.__notes__[0]


def test_a_layer_that_makes_no_application_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"layer 1 \(.*lambda.*\)=None is not an application") as caught:
        stack(Spy(), Middleware(lambda app: None))  # type: ignore[arg-type, return-value]
    assert caught.value.problems[0].value is None


# Around the error page of Starlette and FastAPI


class Stamp:
    """Adds a header to each response, and notes what it saw."""

    def __init__(self, app: Any, name: str, seen: list[str]) -> None:
        self.app, self.name, self.seen = app, name, seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(f"{self.name} {scope['type']}")

        def stamping(message: Any) -> Any:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-stamp", self.name.encode())]}
            return send(message)

        await self.app(scope, receive, stamping)


def greet(request: Any) -> PlainTextResponse:
    return PlainTextResponse("hello")


def fail(request: Any) -> None:
    raise LookupError("mine")


def own_page(request: Any, error: Exception) -> PlainTextResponse:
    return PlainTextResponse("sorry", 500)


async def asked(app: Any, path: str) -> tuple[int, list[bytes], bytes]:
    client = Client(REQUEST)
    try:
        await app(http_scope(path), client.receive, client.send)
    except LookupError as error:
        assert error.args == ("mine",)
    start, body = client.sent
    return start["status"], [value for name, value in start["headers"] if name == b"x-stamp"], body["body"]


@pytest.mark.parametrize("handlers", [{}, {500: own_page}, {Exception: own_page}], ids=["default", "500", "Exception"])
async def test_what_is_outermost_is_around_the_error_page(handlers: dict[Any, Any]) -> None:
    seen: list[str] = []
    app = Starlette(routes=[Route("/", greet), Route("/fail", fail)], exception_handlers=handlers)
    app.add_middleware(Stamp, name="inner", seen=seen)
    assert outermost(app, Middleware(Stamp, "first", seen), Middleware(Stamp, name="second", seen=seen)) is app
    assert await asked(app, "/") == (200, [b"inner", b"second", b"first"], b"hello")
    assert seen == ["first http", "second http", "inner http"]
    page = b"sorry" if handlers else b"Internal Server Error"
    assert await asked(app, "/fail") == (500, [b"second", b"first"], page)


async def test_the_application_can_be_changed_until_it_starts() -> None:
    seen: list[str] = []
    app = outermost(Starlette(), Middleware(Stamp, "outer", seen))
    app.add_route("/late", greet)
    app.add_middleware(Stamp, name="inner", seen=seen)
    app.state.mine = 5
    assert await asked(app, "/late") == (200, [b"inner", b"outer"], b"hello")
    assert isinstance(app, Starlette)
    assert app.state.mine == 5


async def test_what_is_outermost_later_is_around_what_was_before() -> None:
    app = Starlette(routes=[Route("/", greet)])
    outermost(outermost(app, Middleware(Stamp, "first", [])), Middleware(Stamp, "second", []))
    assert await asked(app, "/") == (200, [b"first", b"second"], b"hello")


async def test_only_the_application_that_is_given_is_changed() -> None:
    given, other = Starlette(routes=[Route("/", greet)]), Starlette(routes=[Route("/", greet)])
    outermost(given, Middleware(Stamp, "outer", []))
    assert await asked(other, "/") == (200, [], b"hello")


async def test_websockets_and_the_lifespan_go_through_the_outermost_layers() -> None:
    seen: list[str] = []
    app = outermost(Starlette(), Middleware(Stamp, "outer", seen))
    assert [m["type"] for m in await call(app, lifespan_scope(), STARTUP, SHUTDOWN)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    await call(app, websocket_scope(), CONNECT)
    assert seen == ["outer lifespan", "outer websocket"]


def test_without_layers_the_application_stays_as_it_is() -> None:
    app = Starlette()
    assert outermost(app) is app


def test_another_application_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        outermost(Spy(), Middleware(Layer))
    (problem,) = caught.value.problems
    assert (caught.value.owner, problem.parameter) == ("outermost", "app")
    assert (problem.reason, problem.remedy) == (
        "is not an application of Starlette or FastAPI",
        "write stack(app, ...) around any other application",
    )


def test_the_class_of_an_application_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        outermost(Starlette, Middleware(Layer))
    assert [(p.parameter, p.remedy) for p in caught.value.problems] == [("app", "create an instance: Starlette(...)")]


async def test_an_application_that_has_been_started_is_refused() -> None:
    app = Starlette(routes=[Route("/", greet)])
    await asked(app, "/")
    with pytest.raises(ConfigurationError) as caught:
        outermost(app, Middleware(Layer))
    (problem,) = caught.value.problems
    assert (problem.reason, problem.remedy) == (
        "has been started",
        "call outermost(app, ...) where the application is made",
    )


def test_a_wrong_layer_is_refused_at_once_and_leaves_the_application_alone() -> None:
    app = Starlette()
    before = {**vars(app)}
    for layer in (
        Layer,
        Middleware(Failing),
        Middleware(Refusing),
        Middleware(lambda app: None),
        Middleware(Layer, a=1),
    ):
        with pytest.raises((ConfigurationError, LookupError, TypeError)):
            outermost(app, Middleware(Layer), layer)  # type: ignore[arg-type]
    assert vars(app) == before
