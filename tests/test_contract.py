"""Every promise of every public class, on every event loop; each check beside a mutant that must fail it."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import middleware
from middleware import (
    CompressionMiddleware,
    ConfigurationError,
    CORSMiddleware,
    DjangoSessionMiddleware,
    GZipMiddleware,
    HostRouter,
    PathRouter,
    ProtocolRouter,
    RequestIdMiddleware,
    RequestLogMiddleware,
    SessionMiddleware,
    TraceContextMiddleware,
    WebSocketOriginMiddleware,
)
from middleware._asgi import TRAIL
from middleware.lint import LintMiddleware
from tests.promises import PROMISES, Subject, unchecked
from tests.test_asgi import CASES as NOT_APPLICATIONS


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the wrong application was called")


class _Below:
    """What a server would be to a router if all that it is asked for were below ``/{name}/mounted``."""

    def __init__(self, router: Any) -> None:
        self.router = router

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = type(scope)({**scope, "path": f"/a/mounted/{scope.get('path', '')}"})
        await self.router(scope, receive, send)


def _without_vary(name: bytes) -> Any:
    """What undoes that a class adds ``name`` to Vary, alone or behind others."""

    def without(message: Any) -> Any:
        if message["type"] != "http.response.start":
            return message
        headers = [(key, value.removesuffix(b", " + name)) for key, value in message["headers"]]
        return {**message, "headers": [header for header in headers if header != (b"vary", name)]}

    return without


def _without_request_id(message: Any) -> Any:
    if "headers" not in message:
        return message
    return {**message, "headers": [header for header in message["headers"] if header[0] != b"x-request-id"]}


def _varies(received: Any, given: Any, sent: list[Any]) -> bool:
    return sent[0]["type"] != "http.response.start" or any(
        b"Accept-Encoding" in value for _, value in sent[0]["headers"]
    )


def _beside_django(cls: type, app: Any) -> Any:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    django.setup()
    return cls(app)


SUBJECTS = [
    Subject(
        ProtocolRouter,
        build=lambda cls, app: cls({"mqtt": _never}, http=app, websocket=app, default=app),
        worked=lambda received, given, sent: given is received,
        wrong=(lambda cls: cls({"ws": _never}, http=5, lifespan=7), ["application_mapping", "http", "lifespan"]),
        wrapped=lambda cls, app: cls({"http": app}),
    ),
    Subject(
        PathRouter,
        build=lambda cls, app: cls({"/mounted": _never, "/{name}/mounted": _never}, default=cls({"": app})),
        worked=lambda received, given, sent: given is received,
        wrong=(lambda cls: cls(5, default=6), ["mounts", "default"]),
        wrapped=lambda cls, app: cls({"/": app}),
    ),
    Subject(
        PathRouter,
        build=lambda cls, app: _Below(cls({"/{name}/mounted": app, "/mounted": _never}, default=app)),
        worked=lambda received, given, sent: given.get("root_path", "").endswith("/a/mounted"),
        wrong=(lambda cls: cls({"api": _never, "/a": 5}, lifespan=7), ["mounts", "mounts['/a']", "lifespan"]),
        wrapped=lambda cls, app: cls({"/": app}),
    ),
    Subject(
        HostRouter,
        build=lambda cls, app: cls({"example.com": app, "*.example.com": _never}, default=app),
        worked=lambda received, given, sent: given is received,
        wrong=(lambda cls: cls({"a:80": _never, "b": 5}, default=7), ["hosts", "hosts['b']", "default"]),
        wrapped=lambda cls, app: cls({"example.com": app}),
    ),
    Subject(
        CORSMiddleware,
        build=lambda cls, app: cls(app, allow_origins=["https://*.example.com"], allow_credentials=True),
        worked=lambda received, given, sent: (
            sent[0]["type"] != "http.response.start" or any(b"Origin" in value for _, value in sent[0]["headers"])
        ),
        wrong=(lambda cls: cls(5, ["a.com", "null"], max_age=-1), ["app", "allow_origins", "allow_origins", "max_age"]),
        wrapped=lambda cls, app: cls(app, allow_origins=[]),
        undone=_without_vary(b"Origin"),
    ),
    Subject(
        WebSocketOriginMiddleware,
        build=lambda cls, app: cls(app, allow_origins=["https://*.example.com"]),
        worked=lambda received, given, sent: given is received,
        wrong=(lambda cls: cls(5, ["a.com", "null"]), ["app", "allow_origins", "allow_origins"]),
    ),
    Subject(
        GZipMiddleware,
        build=lambda cls, app: cls(app, stream_content_types=["text/event-stream"]),
        worked=_varies,
        wrong=(lambda cls: cls(5, -1, 0, etag="odd"), ["app", "minimum_size", "compresslevel", "etag"]),
        undone=_without_vary(b"Accept-Encoding"),
    ),
    Subject(
        CompressionMiddleware,
        build=lambda cls, app: cls(app, etag="suffix"),
        worked=_varies,
        wrong=(lambda cls: cls(5, codecs=["gz"], minimum_size=-1), ["app", "codecs", "minimum_size"]),
        undone=_without_vary(b"Accept-Encoding"),
    ),
    Subject(
        SessionMiddleware,
        build=lambda cls, app: cls(app, "secret" * 8),
        worked=lambda received, given, sent: "session" in given,
        wrong=(lambda cls: cls(5, "", max_age=-1, path="x"), ["app", "secret_key", "max_age", "path"]),
        wrapped=lambda cls, app: cls(app, "secret" * 8),
    ),
    Subject(
        DjangoSessionMiddleware,
        build=_beside_django,
        worked=lambda received, given, sent: "session" in given,
        wrong=(lambda cls: cls(5), ["app"]),
        undone=_without_vary(b"Cookie"),
    ),
    Subject(
        RequestLogMiddleware,
        build=lambda cls, app: cls(app),
        worked=lambda received, given, sent: TRAIL in given,
        wrong=(lambda cls: cls(5, format="odd", slow=-1), ["app", "format", "slow"]),
    ),
    Subject(
        RequestIdMiddleware,
        build=lambda cls, app: cls(app, generate=lambda: "request-1"),
        worked=lambda received, given, sent: "request_id" in given,
        wrong=(lambda cls: cls(5, header="a b", trust="yes"), ["app", "header", "trust"]),
        undone=_without_request_id,
    ),
    Subject(
        TraceContextMiddleware,
        build=lambda cls, app: cls(app),
        worked=lambda received, given, sent: "trace_context" in given,
        wrong=(lambda cls: cls(5, trust="yes"), ["app", "trust"]),
    ),
    Subject(
        LintMiddleware,
        build=lambda cls, app: cls(app),
        worked=lambda received, given, sent: given is not received and given == {**received, **given},
        wrong=(lambda cls: cls(5, strict=7), ["app", "strict"]),
    ),
]


def test_no_public_class_is_missing_here() -> None:
    names = [f"middleware.{room.name}" for room in pkgutil.iter_modules(middleware.__path__) if room.ispkg]
    public = {
        value
        for module in (middleware, *map(importlib.import_module, names))
        for value in vars(module).values()
        if inspect.isclass(value) and inspect.iscoroutinefunction(value.__call__)
    }
    assert public == {subject.cls for subject in SUBJECTS}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
async def test_every_class_keeps_the_promise(subject: Subject, promise: Any) -> None:
    await promise(subject)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
async def test_a_mutant_that_breaks_the_promise_is_caught(
    subject: Subject, promise: Any, anyio_backend_name: str
) -> None:
    if promise.__name__ == "no_task_outlives_the_request" and anyio_backend_name == "trio":
        return  # no such mutant can be written
    with pytest.raises(Exception):  # noqa: B017, an assertion or what the mutant itself raises
        await promise(subject.mutant(PROMISES[promise]))


def keeps_refusing_a_wrong_configuration(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    make, parameters = subject.wrong
    caplog.clear()
    with pytest.raises(ConfigurationError) as caught:
        make(subject.cls)
    assert [problem.parameter for problem in caught.value.problems] == parameters
    assert all(problem.reason and problem.remedy for problem in caught.value.problems)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("middleware", logging.ERROR, str(caught.value))


def keeps_checking_what_it_wraps(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    for name, (value, _, remedy) in NOT_APPLICATIONS.items():
        if isinstance(value, str) and {HostRouter, PathRouter, ProtocolRouter} & {*subject.cls.__mro__}:
            continue  # they import strings
        with pytest.raises(ConfigurationError) as caught:
            subject.wrapped(subject.cls, value)
        assert remedy in str(caught.value), name


def keeps_unknown_keywords_a_type_error(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match="colour"):
        subject.cls(_never, colour="red")


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize(
    "promise", [keeps_refusing_a_wrong_configuration, keeps_checking_what_it_wraps, keeps_unknown_keywords_a_type_error]
)
def test_every_class_checks_its_construction(subject: Subject, promise: Any, caplog: pytest.LogCaptureFixture) -> None:
    promise(subject, caplog)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize("promise", [keeps_refusing_a_wrong_configuration, keeps_checking_what_it_wraps])
def test_a_mutant_that_checks_nothing_is_caught(
    subject: Subject, promise: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with unchecked(subject) as mutant, pytest.raises(BaseException, match="DID NOT RAISE"):
        promise(mutant, caplog)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_servers_take_it_for_an_asgi_3_application(subject: Subject) -> None:
    app = subject.around(_never)
    assert inspect.iscoroutinefunction(app.__call__)
    assert [*inspect.signature(app).parameters] == ["scope", "receive", "send"]


OPTIONAL = {"backports", "brotli", "channels", "compression", "cryptography", "django", "fastapi", "redis", "trio"}


def _imported_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return set(result.stdout.split())


def test_nothing_optional_is_imported_until_it_is_asked_for() -> None:
    use = "import middleware, middleware.lint\nmiddleware.lint.LintMiddleware(middleware.ProtocolRouter(http=print))"
    assert not _imported_by(use.replace("=print", "=lambda a, b, c: None")).intersection(OPTIONAL)
    assert "trio" in _imported_by("import middleware, trio").intersection(OPTIONAL)  # the check sees what it looks for
