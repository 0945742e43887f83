"""Layers, the first one outermost."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import starlette.middleware
from starlette.middleware.cors import CORSMiddleware

from middleware import ConfigurationError, Middleware, stack
from tests.asgi import Spy, call, http_scope


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
