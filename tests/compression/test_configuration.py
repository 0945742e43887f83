"""What is refused when a class is made, and what to write instead; what is taken, and what it means."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
import starlette.middleware.gzip
from hypothesis import given
from hypothesis import strategies as st

from middleware import CompressionMiddleware, ConfigurationError, GZipMiddleware, Middleware, stack
from middleware.compression import DEFAULT_EXCLUDED_CONTENT_TYPES
from middleware.compression.codecs import KINDS
from middleware.compression.configuration import EXCLUDED, OTHER, STREAMED, Rules

GZIP, COMPRESSION = (GZipMiddleware,), (CompressionMiddleware,)
BOTH = (*GZIP, *COMPRESSION)
NUMBER = "is not a number of bytes; write one, or leave it out"
LEVEL = "is not a level of gzip from 1 to 9; write 6, or leave it out"
CODEC = "is not a codec; write one of 'zstd', 'br', 'gzip'"
TYPE = "is not a content type; write 'text/csv' or 'image/*'"
LIST = "is not a list; write {0}=list(...)"
STRING = "is a string, not a list; write {0}"
ETAG = "is neither of the two ways; write 'weak', or 'suffix' for clients that send If-Match"
FUNCTION = "is not a function; pass one: def should_compress(scope, status, headers)"
ASYNC = "is an async function; write it with def; it is to await nothing"


async def app(scope: Any, receive: Any, send: Any) -> None: ...


async def coroutine(scope: Any, status: int, headers: Any) -> bool:
    return True


def function(scope: Any, status: int, headers: Any) -> bool:
    return True


class Asked:
    def __call__(self, scope: Any, status: int, headers: Any) -> bool:
        return True

    async def method(self, scope: Any, status: int, headers: Any) -> bool:
        return True


class AskedLater:
    async def __call__(self, scope: Any, status: int, headers: Any) -> bool:
        return True


def refusal(cls: Any, **keywords: Any) -> str:
    """All that is wrong with the keywords, "" if nothing is."""
    try:
        cls(app, **keywords)
    except ConfigurationError as error:
        assert error.owner == cls.__name__
        return str(error).removeprefix(f"{error.owner}: ")
    return ""


def rules(cls: Any = CompressionMiddleware, **keywords: Any) -> Rules:
    made: Rules = cls(app, **keywords)._rules
    return made


def shown(value: object) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    return f"<{value.__name__}>" if inspect.isfunction(value) else f"<{type(value).__name__} object>"


# The classes, a parameter of theirs, wrong values of it, and what is said about each

REFUSED: list[tuple[tuple[Any, ...], str, list[Any], str]] = [
    (BOTH, "minimum_size", [-1, 1.5, "500", None, True, False, [500], b"5"], NUMBER),
    (GZIP, "thread_minimum_size", [-1, 1e6, "1", None, True, False, {}], NUMBER),
    (GZIP, "compresslevel", [0, 10, -1, 6.0, "6", None, True, [6]], LEVEL),
    (BOTH, "exclude_content_types", [b"image/*", {"image/*": 1}, 5, True, iter(["a/b"])], LIST),
    (BOTH, "exclude_content_types", ["image/*, a/b"], STRING + "=['image/*', 'a/b']"),
    (BOTH, "exclude_content_types", [""], STRING + "=[]"),
    (BOTH, "exclude_content_types", [None], "is not a list; write {0}=[], or leave it out"),
    (BOTH, "stream_content_types", [b"a/b", {}, 5, True, (name for name in ("a/b",))], LIST),
    (BOTH, "stream_content_types", ["a/b"], STRING + "=['a/b']"),
    (BOTH, "stream_content_types", [None], "is not a list; write {0}=[], or leave it out"),
    (BOTH, "etag", ["Weak", "strong", "drop", "", None, True, b"weak", ["weak"]], ETAG),
    (BOTH, "should_compress", [True, 0, "path", [function], {}, NotImplemented], FUNCTION),
    (BOTH, "should_compress", [coroutine, AskedLater(), Asked().method, functools.partial(coroutine)], ASYNC),
    (COMPRESSION, "codecs", ["br"], STRING + "=['br']"),
    (COMPRESSION, "codecs", ["br, gzip"], STRING + "=['br', 'gzip']"),
    (COMPRESSION, "codecs", [b"br", {"br": 4}, 5, True, iter(["br"])], LIST),
    (COMPRESSION, "codecs", [[], (), set()], "names none; write codecs=['gzip'], or leave it out"),
    (COMPRESSION, "levels", [6, ["gzip"], "gzip", [("gzip", 6)]], "is not a mapping; write levels={{'gzip': 6}}"),
]


@pytest.mark.parametrize(
    ("classes", "parameter", "wrong", "text"), REFUSED, ids=[f"{row[1]} {row[3][:15]}" for row in REFUSED]
)
def test_a_wrong_value_is_refused_with_what_to_write(
    classes: tuple[Any, ...], parameter: str, wrong: list[Any], text: str
) -> None:
    for cls in classes:
        for value in wrong:
            assert refusal(cls, **{parameter: value}) == f"{parameter}={shown(value)} {text.format(parameter)}"


@pytest.mark.parametrize(
    "entry", ["deflate", "BR", "identity", "*", "", " br", "x-gzip", 5, None, ["br"], {"br": 4}, b"br"], ids=repr
)
def test_what_is_no_codec_is_refused(entry: Any) -> None:
    assert refusal(CompressionMiddleware, codecs=["gzip", entry]) == f"codecs={shown(entry)} {CODEC}"


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("parameter", ["exclude_content_types", "stream_content_types"])
@pytest.mark.parametrize(
    "entry",
    [
        *("", "*", "*/*", "*/png", "image", "image/", "/png", "image/png/x", "image/p ng", "a b/c", "a\n/b", ";a/b"),
        *("image/png, a/b", "t\xe9xt/csv", "text/\u212a", "image/pn*", "image/**", "application/*+json"),
        *(5, None, b"image/png", ["image/png"]),
    ],
    ids=ascii,
)
def test_what_is_no_content_type_is_refused(cls: Any, parameter: str, entry: Any) -> None:
    assert refusal(cls, **{parameter: ["image/png", entry]}) == f"{parameter}={shown(entry)} {TYPE}"


LEVELS = {
    "zstd": ([1, 3, 19], [0, 20, 22, -1, -7, 3.0, "3", None, True], "from 1 to 19; write 3"),
    "br": ([0, 4, 11], [-1, 12, 4.0, "4", None, False], "from 0 to 11; write 4"),
    "gzip": ([1, 6, 9], [0, -1, 10, 6.0, "6", None, True], "from 1 to 9; write 6"),
}


@pytest.mark.parametrize("name", LEVELS)
def test_a_level_is_one_of_the_codec(name: str) -> None:
    taken, refused, text = LEVELS[name]
    for level in taken:
        assert refusal(CompressionMiddleware, levels={name: level}) == ""
    for level in refused:
        expected = f"levels['{name}']={level!r} is not a level of {name} {text}, or leave it out"
        assert refusal(CompressionMiddleware, levels={name: level}) == expected
        assert refusal(CompressionMiddleware, codecs=[name], levels={name: level}) == expected


SEVERAL: dict[str, tuple[dict[str, Any], list[str]]] = {
    "named twice": ({"codecs": ["br", "gzip", "br"]}, ["codecs='br' is named twice; name it once"]),
    "named three times": ({"codecs": ["br"] * 3}, ["codecs='br' is named twice; name it once"] * 2),
    "a level of a codec that is not on offer": (
        {"codecs": ["gzip", "br"], "levels": {"zstd": 3}},
        ["levels='zstd' is not one of the codecs; write one of 'gzip', 'br'"],
    ),
    "a level of no codec": (
        {"levels": {"deflate": 3, 5: 5, None: 1}},
        [
            "levels='deflate' is not one of the codecs; write one of 'zstd', 'br', 'gzip'",
            "levels=5 is not one of the codecs; write one of 'zstd', 'br', 'gzip'",
            "levels=None is not one of the codecs; write one of 'zstd', 'br', 'gzip'",
        ],
    ),
    "a level of a codec that is not on offer, beside what is no codec": (
        {"codecs": ["gzip", ["br"], "x" * 500], "levels": {"zstd": 3}},
        [
            f"codecs=<list object> {CODEC}",
            f"codecs='{'x' * 57}...{'x' * 58}' {CODEC}",
            "levels='zstd' is not one of the codecs; write one of 'gzip'",
        ],
    ),
    "no list of codecs, which says nothing about levels": (
        {"codecs": "gzip", "levels": {"gzip": 6}},
        ["codecs='gzip' is a string, not a list; write codecs=['gzip']"],
    ),
    "no codec, which says nothing about levels": (
        {"codecs": [], "levels": {"gzip": 6}},
        ["codecs=<list object> names none; write codecs=['gzip'], or leave it out"],
    ),
    "a level and a codec": (
        {"codecs": ["gzip", "exi"], "levels": {"gzip": 60}},
        [f"codecs='exi' {CODEC}", "levels['gzip']=60 is not a level of gzip from 1 to 9; write 6, or leave it out"],
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_codecs_and_levels_are_checked_together(name: str) -> None:
    keywords, expected = SEVERAL[name]
    given = refusal(CompressionMiddleware, **keywords)
    assert given.split("\n  - ")[len(expected) > 1 :] == expected


@pytest.mark.parametrize("cls", BOTH)
def test_a_number_that_python_does_not_write_is_refused_readably(cls: Any) -> None:
    assert "minimum_size=" in refusal(cls, minimum_size=-(10**5_000))


def test_all_problems_of_gzip_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        GZipMiddleware(
            None,  # type: ignore[arg-type]
            "a",  # type: ignore[arg-type]
            0,
            -1,
            exclude_content_types="a/b",
            stream_content_types=["c"],
            etag="d",
            should_compress=5,  # type: ignore[arg-type]
        )
    assert str(caught.value).splitlines() == [
        "GZipMiddleware: 8 problems",
        "  - app=None is not an application; did a function forget to return it? pass the ASGI application",
        f"  - minimum_size='a' {NUMBER}",
        f"  - compresslevel=0 {LEVEL}",
        f"  - thread_minimum_size=-1 {NUMBER}",
        "  - exclude_content_types='a/b' is a string, not a list; write exclude_content_types=['a/b']",
        f"  - stream_content_types='c' {TYPE}",
        f"  - etag='d' {ETAG}",
        f"  - should_compress=5 {FUNCTION}",
    ]


def test_all_problems_of_compression_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CompressionMiddleware(
            "a",  # type: ignore[arg-type]
            codecs=[5, "gzip"],  # type: ignore[list-item]
            levels={"gzip": 99},
            minimum_size=-1,
            exclude_content_types=["a", "b"],
            stream_content_types=5,  # type: ignore[arg-type]
            etag="c",
            should_compress=coroutine,  # type: ignore[arg-type]
        )
    assert str(caught.value).splitlines() == [
        "CompressionMiddleware: 9 problems",
        "  - app='a' is a string, not an application; import the application and pass it",
        f"  - codecs=5 {CODEC}",
        f"  - levels['gzip']=99 {LEVEL}",
        f"  - minimum_size=-1 {NUMBER}",
        f"  - exclude_content_types='a' {TYPE}",
        f"  - exclude_content_types='b' {TYPE}",
        f"  - stream_content_types=5 {LIST.format('stream_content_types')}",
        f"  - etag='c' {ETAG}",
        f"  - should_compress=<coroutine> {ASYNC}",
    ]


@pytest.mark.parametrize("cls", BOTH)
def test_a_missing_or_unknown_keyword_is_a_type_error(cls: Any) -> None:
    with pytest.raises(TypeError):
        cls()
    with pytest.raises(TypeError):
        cls(app, minimum_length=5)


def test_only_gzip_takes_numbers_by_position() -> None:
    with pytest.raises(TypeError):
        CompressionMiddleware(app, ["gzip"])  # type: ignore[misc]
    with pytest.raises(TypeError):
        GZipMiddleware(app, 500, 6, 1, ())  # type: ignore[misc]


# What is taken


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    "keywords",
    [
        {"minimum_size": 0},
        {"minimum_size": 10**12},
        {"minimum_size": enum.IntEnum("Size", {"SMALL": 5}).SMALL},
        {"exclude_content_types": ()},
        {"exclude_content_types": {"image/*", "a/b"}},
        {"exclude_content_types": dict.fromkeys(["a/b"]).keys()},
        {"exclude_content_types": [*DEFAULT_EXCLUDED_CONTENT_TYPES, "text/csv"]},
        {"stream_content_types": ["text/event-stream"]},
        {"stream_content_types": frozenset(["TEXT/Event-Stream; charset=utf-8"])},
        {"stream_content_types": ["application/vnd.x+json", "a!#$&-^_.+/b1", "text/*"]},
        {"etag": "weak"},
        {"etag": "suffix"},
        {"should_compress": None},
        {"should_compress": function},
        {"should_compress": Asked()},
        {"should_compress": functools.partial(function)},
        {"should_compress": lambda *asked: True},
    ],
)
def test_a_right_value_is_taken(cls: Any, keywords: dict[str, Any]) -> None:
    assert refusal(cls, **keywords) == ""


def test_the_defaults_are_what_the_documentation_says() -> None:
    for cls in BOTH:
        made = rules(cls)
        assert (made.minimum_size, made.suffix, made.should_compress) == (500, False, None)
        assert made.kind(b"text/event-stream") == EXCLUDED
    assert [codec.coding for codec in rules().codecs] == [b"zstd", b"br", b"gzip"]
    (gzip,) = rules(GZipMiddleware).codecs
    assert (gzip.coding, gzip.offload) == (b"gzip", 131_072)
    body = b"".join(b"%d " % number for number in range(2_000))
    assert gzip.compress(body) == KINDS["gzip"].at(6).compress(body)


def test_codecs_are_offered_in_the_order_in_which_they_are_named() -> None:
    for names in (["gzip"], ["br", "zstd"], ["gzip", "br", "zstd"], ("zstd", "gzip")):
        assert [codec.coding.decode() for codec in rules(codecs=names).codecs] == [*names]
        assert repr(CompressionMiddleware(app, codecs=names)) == f"CompressionMiddleware(codecs={[*names]})"


def test_levels_are_those_that_are_given_and_the_codecs_own() -> None:
    body = b"".join(b"%d " % (number * number) for number in range(5_000))
    own = {codec.coding: codec for codec in rules().codecs}
    given = {codec.coding: codec for codec in rules(levels=MappingProxyType({"gzip": 1, "br": 11})).codecs}
    assert given[b"gzip"].compress(body) == KINDS["gzip"].at(1).compress(body) != own[b"gzip"].compress(body)
    assert given[b"br"].compress(body) == KINDS["br"].at(11).compress(body) != own[b"br"].compress(body)
    assert given[b"zstd"].compress(body) == own[b"zstd"].compress(body) == KINDS["zstd"].at(3).compress(body)
    assert given[b"br"].offload == 4_096 < own[b"br"].offload


def test_the_callers_collections_are_copied_and_left_alone() -> None:
    codecs, levels, excluded, streamed = ["br", "gzip"], {"gzip": 1}, ["a/b"], ["c/d"]
    made = rules(codecs=codecs, levels=levels, exclude_content_types=excluded, stream_content_types=streamed)
    assert (codecs, levels, excluded, streamed) == (["br", "gzip"], {"gzip": 1}, ["a/b"], ["c/d"])
    for changed in (codecs, levels, excluded, streamed):
        changed.clear()
    assert [codec.coding for codec in made.codecs] == [b"br", b"gzip"]
    assert (made.kind(b"a/b"), made.kind(b"c/d")) == (EXCLUDED, STREAMED)


def test_what_is_shown_of_a_class_is_what_it_offers() -> None:
    assert repr(GZipMiddleware(app, 1, 9)) == "GZipMiddleware(codecs=['gzip'])"
    assert repr(CompressionMiddleware(app, codecs=["gzip"], etag="suffix")) == "CompressionMiddleware(codecs=['gzip'])"


# Content types

KINDS_OF_TYPES: list[tuple[dict[str, Any], str, str, str]] = [
    # the keywords, and the types that are excluded, that are streams of events, and others
    (
        {},
        """image/png image/jpeg video/mp4 video/x audio/mpeg application/zip application/grpc application/grpc+proto
        application/grpc+json text/event-stream font/woff2""",
        "",
        """text/html application/json image/svg+xml image/bmp font/ttf application/wasm application/grpc-web
        application/octet-stream text/event application/zipped png""",
    ),
    (
        {"exclude_content_types": ["Image/*", "APPLICATION/pdf; version=2", " text/x "]},
        "image/png image/svg+xml image/x application/pdf IMAGE/PNG Application/PDF+x text/x",
        "",
        "text/html application/pdfs x-image/png image2/png video/mp4 text/event-stream",
    ),
    ({"exclude_content_types": ["a/b+json"]}, "a/b+json a/b+JSON", "", "a/b a/b+xml a/json a/b+json2"),
    ({"exclude_content_types": ["a/b"]}, "a/b a/b+json a/b+c+d", "", "a/b-c a/c+b a/bb b/a a"),
    ({"exclude_content_types": ()}, "", "", "image/png video/mp4 text/event-stream application/zip"),
    (
        {"stream_content_types": ["text/event-stream", "application/x-ndjson"]},
        "image/png",
        "text/event-stream TEXT/EVENT-STREAM application/x-ndjson",
        "text/html application/json",
    ),
    ({"stream_content_types": ["image/*"]}, "video/x", "image/png image/jpeg image/svg+xml", "text/html"),
]


@pytest.mark.parametrize(("keywords", "excluded", "streamed", "others"), KINDS_OF_TYPES)
@pytest.mark.parametrize("form", ["{}", "{};charset=utf-8", "{} ; a=b", " {}\t", '{}; a="image/png"', "{};"])
def test_content_types_are_compared_without_case_and_parameters(
    keywords: dict[str, Any], excluded: str, streamed: str, others: str, form: str
) -> None:
    kind = rules(**keywords).kind
    for names, expected in ((excluded, EXCLUDED), (streamed, STREAMED), (others, OTHER)):
        for name in names.split():
            assert kind(form.format(name).encode()) == expected, name


@given(st.binary(max_size=30))
def test_no_junk_is_an_error(value: bytes) -> None:
    assert rules().kind(value) in (EXCLUDED, OTHER)


def test_an_attacker_cannot_fill_the_memory_with_content_types() -> None:
    kind: Any = rules().kind
    for number in range(2_000):
        kind(b"text/x%d" % number)
    assert kind.cache_info().currsize == kind.cache_info().maxsize == 256


# Moving from Starlette's class, and what projects do with it


def test_starlettes_arguments_have_the_same_names_and_places() -> None:
    theirs = [*inspect.signature(starlette.middleware.gzip.GZipMiddleware.__init__).parameters.values()]
    ours = inspect.signature(GZipMiddleware.__init__).parameters
    positional = [parameter.name for parameter in theirs if parameter.kind is not parameter.KEYWORD_ONLY]
    assert [*ours][: len(positional)] == positional
    for parameter in theirs[2:]:
        assert ours[parameter.name].kind == parameter.kind
        assert parameter.name in ("compresslevel", "exclude_content_types") or (
            ours[parameter.name].default == parameter.default
        )
    assert set(getattr(starlette.middleware.gzip, "DEFAULT_EXCLUDED_CONTENT_TYPES", ())) <= {
        *DEFAULT_EXCLUDED_CONTENT_TYPES
    }


def test_starlettes_arguments_mean_the_same() -> None:
    by_position = rules(lambda app: GZipMiddleware(app, 7, 9, 11))
    by_keyword = rules(GZipMiddleware, minimum_size=7, compresslevel=9, thread_minimum_size=11)
    body = b"".join(b"%d " % number for number in range(5_000))
    for made in (by_position, by_keyword):
        assert made.minimum_size == 7
        assert made.codecs[0].offload == 11
        assert made.codecs[0].compress(body) == KINDS["gzip"].at(9).compress(body)


class Ours(GZipMiddleware):
    """As projects subclass Starlette's."""

    def __init__(self, app: Any, minimum_size: int = 50, compresslevel: int = 9) -> None:
        super().__init__(app, minimum_size=minimum_size, compresslevel=compresslevel, etag="suffix")
        self.seen = 0


def test_a_subclass_can_add_its_own() -> None:
    made = Ours(app)
    assert (made.app, made.seen, made._rules.minimum_size, made._rules.suffix) == (app, 0, 50, True)
    assert repr(made) == "Ours(codecs=['gzip'])"
    with pytest.raises(ConfigurationError, match="^GZipMiddleware: compresslevel=0 "):
        Ours(app, compresslevel=0)


@pytest.mark.parametrize("cls", [*BOTH, Ours])
def test_the_class_is_a_factory_of_one_argument(cls: Callable[..., Any]) -> None:
    assert cls(app).app is app
    assert cls(app=app).app is app
    assert inspect.iscoroutinefunction(cls(app).__call__)
    assert [*inspect.signature(cls(app)).parameters] == ["scope", "receive", "send"]


def test_the_classes_are_layers_of_a_stack() -> None:
    made: Any = stack(app, Middleware(CompressionMiddleware, codecs=["gzip"]), Middleware(GZipMiddleware, 7, 9))
    assert isinstance(made, CompressionMiddleware)
    assert isinstance(made.app, GZipMiddleware)
    assert made.app._rules.minimum_size == 7
    assert made.app.app is app
    with pytest.raises(ConfigurationError) as caught:
        stack(app, Middleware(CompressionMiddleware, codecs=["deflate"]))
    assert str(caught.value) == f"CompressionMiddleware: codecs='deflate' {CODEC}"
    (note,) = caught.value.__notes__
    assert note.endswith("constructed layer 1 of 1 (1 is outermost): CompressionMiddleware")
