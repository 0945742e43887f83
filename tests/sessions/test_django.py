"""Who logs in with Django's own view is known in a websocket beside Django, with each engine of its sessions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from itertools import count
from typing import Any
from urllib.parse import urlencode

import django
import pytest
from asgiref.sync import sync_to_async
from blockbuster import blockbuster_ctx
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connections
from django.db.backends.signals import connection_created
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import include
from django.urls import path as django_path

from middleware import DjangoSessionMiddleware
from middleware.sessions import SessionStoreError
from tests.asgi import BODY, CONNECT, START, Spy, call, http_scope, websocket_scope

BACKENDS = "django.contrib.sessions.backends"
ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]
SERVER_SIDE = [engine for engine in ENGINES if engine != "signed_cookies"]
CONTRIB = [f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions")]
TOKEN = "x" * 32
PASSWORD = "analytical"
ACCEPT = {"type": "websocket.accept"}
WEBSOCKETS = 1000

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_trio = pytest.mark.parametrize("anyio_backend", ["trio"])
each_engine = pytest.mark.parametrize("engine", ENGINES)
each_server_side_engine = pytest.mark.parametrize("engine", SERVER_SIDE)
numbers = count()


def show(request: HttpRequest) -> JsonResponse:
    """Keep what the query says in the session, and show all of it."""
    if request.GET:
        request.session.update(request.GET.dict())
    return JsonResponse(dict(request.session))


class Urls:
    urlpatterns = (django_path("session/", show),)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    with blockbuster_ctx() as blockbuster:
        # asgiref 3.8 waits for the threads of Django's handler there.
        blockbuster.functions["threading.Lock.acquire"].can_block_in("asgiref/sync.py", "__aexit__")
        yield


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The settings of a database with all tables, in a Django project."""
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    django.setup()
    folder = tmp_path_factory.mktemp("project")
    given = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "db.sqlite3")}}
    configured = connections.configure_settings(given)["default"]
    project = override_settings(
        SECRET_KEY="the secret of the project",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=Urls,
        SESSION_ENGINE=f"{BACKENDS}.db",
        LOGIN_REDIRECT_URL="/session/",
        LOGOUT_REDIRECT_URL="/session/",
        INSTALLED_APPS=CONTRIB,
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        SESSION_FILE_PATH=str(folder),
        USE_TZ=True,
        DEBUG=False,
    )
    with pytest.MonkeyPatch.context() as patch, project:
        patch.setitem(connections.settings, "default", configured)
        connections["default"] = connections.create_connection("default")
        call_command("migrate", verbosity=0)
        connections.close_all()

        class AllUrls:
            urlpatterns = (*Urls.urlpatterns, django_path("", include("django.contrib.auth.urls")))

        with override_settings(ROOT_URLCONF=AllUrls):
            yield configured
        del connections["default"]


@pytest.fixture
def ada(database: dict[str, Any]) -> Iterator[Any]:
    """A user of Django's, new for each test."""
    from django.contrib.auth.models import User

    user = User.objects.create_user(f"ada {next(numbers)}", password=PASSWORD)
    connections.close_all()
    yield user
    connections.close_all()


@pytest.fixture
def connected(database: dict[str, Any]) -> Iterator[list[Any]]:
    """The connections to the database that are made from now on, in any thread."""
    found: list[Any] = []

    def note(connection: Any, **_: Any) -> None:
        found.append(connection)

    connection_created.connect(note)
    yield found
    connection_created.disconnect(note)


def using(engine: str, **changes: Any) -> Any:
    return override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}", **changes)


def cookie_header(**cookies: str) -> list[tuple[bytes, bytes]]:
    line = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return [(b"host", b"testserver"), (b"cookie", line.encode("latin-1"))]


async def ask(path: str, cookie: str = "", query: str = "", **form: str) -> tuple[Any, dict[str, Any]]:
    """What Django answers: the value of the session cookie that it sets, None if it sets none, and the content."""
    headers = cookie_header(csrftoken=TOKEN, **{settings.SESSION_COOKIE_NAME: cookie})
    headers += [(b"x-csrftoken", TOKEN.encode()), (b"content-type", b"application/x-www-form-urlencoded")]
    method = "GET" if path == "/session/" else "POST"
    scope = http_scope(path, method=method, headers=headers, query_string=query.encode())
    sent = await call(get_asgi_application(), scope, {"type": "http.request", "body": urlencode(form).encode()})
    assert sent[0]["status"] == (200 if method == "GET" else 302)
    set_cookie = SimpleCookie()
    for name, value in sent[0]["headers"]:
        if name.lower() == b"set-cookie":
            set_cookie.load(value.decode())
    found = set_cookie.get(settings.SESSION_COOKIE_NAME)
    return found and found.value, json.loads(sent[1]["body"] or "{}")


async def log_in(user: Any) -> str:
    """The value of the cookie with which Django's own view answers."""
    value, _ = await ask("/login/", username=user.username, password=PASSWORD)
    assert value
    return str(value)


async def connect(value: str, *, app: Any = None, **scope: Any) -> Any:
    """The scope in a websocket that comes with a session cookie."""
    inner = Spy(ACCEPT)

    async def spied(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)
        if app is not None:
            await app(scope)

    headers = cookie_header(**{settings.SESSION_COOKIE_NAME: value})
    sent = await call(DjangoSessionMiddleware(spied), websocket_scope(**{"headers": headers, **scope}), CONNECT)
    assert sent == [ACCEPT]
    return inner.calls[0][0]


async def in_thread(function: Callable[[], Any]) -> Any:
    """Ask the database in a thread of its own."""

    def run() -> Any:
        try:
            return function()
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


def is_nobodys(scope: Any) -> bool:
    return not scope["user"].is_authenticated and dict(scope["session"]) == {}


@each_engine
async def test_who_logged_in_with_djangos_view_is_the_user_in_a_websocket(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
        scope = await connect(value)
        assert (scope["user"], scope["user"].is_authenticated) == (ada, True)
        assert type(scope["session"]).__module__ == f"{BACKENDS}.{engine}"
        assert dict(scope["session"]) == (await ask("/session/", value))[1]


@each_engine
async def test_a_session_without_a_login_is_there_and_nobody_is_logged_in(engine: str, database: Any):
    with using(engine):
        value, _ = await ask("/session/", query="theme=dark")
        scope = await connect(value)
        assert dict(scope["session"]) == {"theme": "dark"}
        assert not scope["user"].is_authenticated


@each_engine
async def test_an_unknown_tampered_or_malformed_cookie_is_nobodys(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
        other = "a" if value[9] != "a" else "b"
        tampered = [value[:-1], value[1:], value[:9] + other + value[10:], value.swapcase()]
        for wrong in ["", "a" * 32, "a", "a" * 5000, "\xff" * 32, "../" * 12, "%00" * 11, "null", *tampered]:
            assert is_nobodys(await connect(wrong)), wrong
        assert (await connect(value))["user"] == ada


@each_server_side_engine
async def test_a_cookie_is_nobodys_after_the_logout(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
        assert (await connect(value))["user"] == ada
        await ask("/logout/", value)
        assert is_nobodys(await connect(value))


@each_engine
async def test_an_expired_cookie_is_nobodys(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
    for age, expired in ((60, False), (-1, True)):
        with using(engine, SESSION_COOKIE_AGE=age):
            await ask("/session/", value, query="theme=dark")  # it is stored until then
            assert is_nobodys(await connect(value)) == expired


@each_engine
async def test_a_password_change_ends_the_login(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
        assert (await connect(value))["user"] == ada
        ada.set_password("another")
        await in_thread(ada.save)
        assert is_nobodys(await connect(value))


@each_engine
async def test_who_was_deleted_or_made_inactive_is_nobody(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
        ada.is_active = False
        await in_thread(ada.save)
        assert not (await connect(value))["user"].is_authenticated
        ada.is_active = True
        await in_thread(ada.save)
        assert (await connect(value))["user"] == ada
        await in_thread(ada.delete)
        assert not (await connect(value))["user"].is_authenticated


@each_engine
async def test_a_login_under_a_former_secret_goes_on_in_the_same_session(engine: str, ada: Any):
    with using(engine):
        value = await log_in(ada)
    former = settings.SECRET_KEY
    with using(engine, SECRET_KEY="new", SECRET_KEY_FALLBACKS=[former]):
        for _ in range(2):
            scope = await connect(value)
            assert scope["user"] == ada
            assert (scope["session"].session_key, scope["session"].modified) == (value, False)
    with using(engine, SECRET_KEY="new", SECRET_KEY_FALLBACKS=["another"]):
        assert is_nobodys(await connect(value))
    with using(engine):
        assert (await ask("/session/", value))[1]["_auth_user_id"] == str(ada.pk)


async def test_the_cookie_has_the_name_that_django_gives_it(ada: Any):
    with using("db", SESSION_COOKIE_NAME="sid"):
        value = await log_in(ada)
        assert (await connect(value))["user"] == ada
        assert is_nobodys(await connect("", headers=cookie_header(sessionid=value, xsid=value)))


async def test_of_two_cookies_the_last_one_counts_as_for_django_itself(ada: Any):
    value = await log_in(ada)
    for wrong in ("", "a" * 32, "\xff", '"'):
        for cookies, is_known in ((f"{wrong}; sessionid={value}", True), (f"{value}; sessionid={wrong}", False)):
            assert ("_auth_user_id" in (await ask("/session/", cookies))[1]) is is_known
            assert is_nobodys(await connect(cookies)) is not is_known
            lines = [(b"cookie", f"sessionid={cookie}".encode("latin-1")) for cookie in cookies.split("; sessionid=")]
            assert is_nobodys(await connect("", headers=lines)) is not is_known
    assert (await connect(f'"{value}"'))["user"] == ada


async def test_without_djangos_users_there_is_the_session_only(database: Any):
    without = {
        "INSTALLED_APPS": ["django.contrib.sessions"],
        "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"],
        "ROOT_URLCONF": Urls,
    }
    with using("db", **without):
        value, _ = await ask("/session/", query="theme=dark")
        for cookie, data in ((value, {"theme": "dark"}), ("", {})):
            scope = await connect(cookie)
            assert dict(scope["session"]) == data
            assert "user" not in scope


@each_server_side_engine
async def test_what_a_websocket_writes_is_there_for_django_when_it_ends(engine: str, ada: Any):
    async def write(scope: Any) -> None:
        scope["session"]["theme"] = "dark"
        assert "theme" not in (await ask("/session/", value))[1]

    with using(engine):
        value = await log_in(ada)
        await connect(value, app=write)
        assert (await ask("/session/", value))[1]["theme"] == "dark"
        assert (await connect(value))["user"] == ada


async def test_what_was_written_is_saved_though_the_application_raises(ada: Any):
    async def fail(scope: Any) -> None:
        scope["session"]["theme"] = "dark"
        raise LookupError("raised by the application")

    value = await log_in(ada)
    with pytest.raises(LookupError):
        await connect(value, app=fail)
    assert (await ask("/session/", value))[1]["theme"] == "dark"


async def test_the_exception_of_the_application_goes_out_where_saving_fails_too(
    ada: Any, caplog: pytest.LogCaptureFixture
):
    error = LookupError("raised by the application")

    async def fail(scope: Any) -> None:
        scope["session"]["not JSON"] = object()
        raise error

    async def end(scope: Any) -> None:
        scope["session"]["not JSON"] = object()

    value = await log_in(ada)
    with pytest.raises(LookupError) as caught:
        await connect(value, app=fail)
    assert caught.value is error
    assert ["could not be saved after the application had failed" in message for message in told(caplog)] == [True]
    with pytest.raises(TypeError):
        await connect(value, app=end)
    assert (await connect(value))["user"] == ada


@each_server_side_engine
async def test_of_a_session_that_was_flushed_nothing_is_told(engine: str, ada: Any, caplog: pytest.LogCaptureFixture):
    async def flush(scope: Any) -> None:
        await sync_to_async(scope["session"].flush)()

    async def write_too(scope: Any) -> None:
        await flush(scope)
        scope["session"]["theme"] = "dark"

    with using(engine):
        for app, warnings in ((flush, 0), (write_too, 1)):
            value = await log_in(ada)
            await connect(value, app=app)
            assert ["only Django sets its cookie" in message for message in told(caplog)] == [True] * warnings
            assert is_nobodys(await connect(value))
    await sync_to_async(connections.close_all)()


async def test_a_session_under_another_key_is_lost_and_that_is_told(ada: Any, caplog: pytest.LogCaptureFixture):
    async def cycle(scope: Any) -> None:
        await sync_to_async(scope["session"].cycle_key)()

    value = await log_in(ada)
    await connect(value, app=cycle)
    assert is_nobodys(await connect(value))
    await sync_to_async(connections.close_all)()
    assert ["only Django sets its cookie" in message for message in told(caplog)] == [True]


async def test_what_is_not_written_is_not_saved(ada: Any):
    async def read(scope: Any) -> None:
        assert "theme" not in scope["session"]
        await ask("/session/", value, query="theme=dark")

    value = await log_in(ada)
    await connect(value, app=read)
    assert (await ask("/session/", value))[1]["theme"] == "dark"


@each_server_side_engine
async def test_what_django_wrote_meanwhile_stays_and_only_what_changed_is_written(engine: str, ada: Any):
    async def begin(scope: Any) -> None:
        scope["session"].update({"cart": [1], "old": "1", "both": "1", "left": "1"})

    async def write(scope: Any) -> None:
        session = scope["session"]
        await ask("/session/", value, query="theme=dark&both=2&left=2&old=2")
        session["cart"].append(2)
        session.update({"size": "large", "both": "3", "left": "1"})
        del session["old"]

    with using(engine):
        value = await log_in(ada)
        await connect(value, app=begin)
        await connect(value, app=write)
        data = (await ask("/session/", value))[1]
        djangos, ours = {"theme": "dark", "left": "2"}, {"cart": [1, 2], "size": "large", "both": "3"}
        assert {name: found for name, found in data.items() if not name.startswith("_auth")} == djangos | ours


@each_server_side_engine
async def test_a_write_after_logout_is_refused_and_told(engine: str, ada: Any, caplog: pytest.LogCaptureFixture):
    async def write(scope: Any) -> None:
        await ask("/logout/", value)
        scope["session"]["theme"] = "dark"

    with using(engine):
        value = await log_in(ada)
        await connect(value, app=write)
        assert ["had ended before" in message for message in told(caplog)] == [True]
        assert (await ask("/session/", value))[1] == {}
        assert is_nobodys(await connect(value))


@each_engine
async def test_a_session_that_begins_in_a_websocket_is_lost_and_that_is_told(
    engine: str, database: Any, caplog: pytest.LogCaptureFixture
):
    from django.contrib.sessions.models import Session

    async def write(scope: Any) -> None:
        scope["session"]["theme"] = "dark"

    with using(engine):
        before = await in_thread(Session.objects.count)
        for value in ("", "a" * 32):
            caplog.clear()
            await connect(value, app=write)
            assert ["only Django sets its cookie" in message for message in told(caplog)] == [True]
        assert await in_thread(Session.objects.count) == before


async def test_what_is_written_to_a_signed_cookie_is_lost_and_that_is_told(ada: Any, caplog: pytest.LogCaptureFixture):
    async def write(scope: Any) -> None:
        scope["session"]["theme"] = "dark"

    with using("signed_cookies"):
        value = await log_in(ada)
        await connect(value, app=write)
        assert ["only Django sets its cookie" in message for message in told(caplog)] == [True]
        assert "theme" not in (await ask("/session/", value))[1]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@on_asyncio
@pytest.mark.parametrize(("seconds", "kept"), [(0, 0), (60, 1)], ids=["closed", "kept"])
async def test_a_thousand_websockets_hold_no_database_connection_but_the_one_that_django_keeps(
    anyio_backend: str,
    ada: Any,
    database: dict[str, Any],
    connected: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    kept: int,
):
    all_are_there, ending = asyncio.Event(), asyncio.Event()
    users = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        users.append(scope["user"])
        number = len(users)
        if number == WEBSOCKETS:
            all_are_there.set()
        await ending.wait()
        if number % 10 == 0:
            scope["session"]["theme"] = "dark"

    def still_open() -> set[Any]:
        return {connection for connection in connected if connection.connection}

    value = await log_in(ada)
    await sync_to_async(connections.close_all)()
    monkeypatch.setitem(database, "CONN_MAX_AGE", seconds)
    connected.clear()
    given, middleware = websocket_scope(headers=cookie_header(sessionid=value)), DjangoSessionMiddleware(app)
    tasks = [asyncio.create_task(middleware({**given}, None, None)) for _ in range(WEBSOCKETS)]
    await asyncio.wait_for(all_are_there.wait(), 30)
    assert users == [ada] * WEBSOCKETS
    assert len(still_open()) == kept
    ending.set()
    await asyncio.gather(*tasks)
    assert len(still_open()) == kept
    await sync_to_async(connections.close_all)()
    monkeypatch.setitem(database, "CONN_MAX_AGE", 0)  # Django would keep the next one in a thread that ends
    assert (await ask("/session/", value))[1]["theme"] == "dark"
    assert not still_open()


async def test_without_a_cookie_nothing_is_asked_of_the_database(ada: Any, connected: list[Any]):
    value = await log_in(ada)
    connected.clear()
    assert is_nobodys(await connect("", headers=[]))
    assert is_nobodys(await connect("", headers=cookie_header(csrftoken=TOKEN, my_sessionid=value)))
    assert connected == []
    assert (await connect(value))["user"] == ada
    assert len(connected) == 1


@on_trio
async def test_on_trio_a_cookie_is_an_error_that_says_so_and_without_one_no_thread_is_needed(
    anyio_backend: str, database: Any
):
    with pytest.raises(SessionStoreError, match="trio"):
        await connect("a" * 32)
    assert is_nobodys(await connect("", headers=[]))
    start, _ = await call(DjangoSessionMiddleware(Spy(START, BODY)), http_scope())
    assert (b"vary", b"Cookie") in start["headers"]


async def test_a_response_depends_on_the_cookie(ada: Any):
    headers = [(b"Vary", b"Accept-Encoding"), (b"content-length", b"5")]
    for value, given, vary in (
        (await log_in(ada), headers, b"Accept-Encoding, Cookie"),
        ("", headers, b"Accept-Encoding, Cookie"),
        ("", [(b"vary", b"cookie")], b"cookie"),
    ):
        scope = http_scope(headers=cookie_header(sessionid=value))
        start, body = await call(DjangoSessionMiddleware(Spy({**START, "headers": given}, BODY)), scope)
        assert [found for name, found in start["headers"] if name.lower() == b"vary"] == [vary]
        assert body == BODY


@pytest.mark.parametrize("there", [{"session"}, {"user"}, {"session", "user"}], ids=sorted)
async def test_a_key_that_is_in_the_scope_already_stays_what_it_is_outside(there: set[str], ada: Any):
    given = websocket_scope(headers=cookie_header(sessionid=await log_in(ada)), **dict.fromkeys(there, "another"))
    inner = Spy(ACCEPT)
    await call(DjangoSessionMiddleware(inner), given, CONNECT)
    scope = inner.calls[0][0]
    assert (scope["user"], scope["session"]["_auth_user_id"]) == (ada, str(ada.pk))
    assert {key: given[key] for key in there} == dict.fromkeys(there, "another")


async def test_what_is_no_connection_goes_through_as_it_is(database: Any):
    inner, scope = Spy(ACCEPT), {"type": "lifespan"}
    await call(DjangoSessionMiddleware(inner), scope, CONNECT)
    assert inner.calls[0][0] is scope
    assert scope == {"type": "lifespan"}
