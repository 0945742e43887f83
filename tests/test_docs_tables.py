"""The tables that say what happens: each row is tried."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from hypercorn.middleware import ProxyFixMiddleware
from litestar import Litestar, get
from litestar.middleware import DefineMiddleware

from middleware import (
    ConfigurationError,
    CORSMiddleware,
    HostRouter,
    Middleware,
    PathRouter,
    ProtocolRouter,
    WebSocketOriginMiddleware,
    outermost,
)
from middleware._hosts import MAX_ORIGIN
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
from tests.cors.test_browser import TABLE as BROWSED
from tests.pages import TEXTS, blocks, flat, quoted, rows, table
from tests.servers.process import free_port

DEPLOYING = "docs/deploying.md"
CORS = "docs/cors.md"


@pytest.mark.parametrize(("path", "prefixes", "goes_to"), rows("docs/path-router.md", "Which application"))
async def test_the_path_goes_to_the_application(path: str, prefixes: str, goes_to: str) -> None:
    spies = {prefix: Spy() for prefix in quoted(prefixes)}
    (given,), (expected, *_) = quoted(path), quoted(goes_to)
    await call(PathRouter(spies), http_scope(given))
    ((scope, _, _),) = spies[expected].calls
    assert sum(len(spy.calls) for spy in spies.values()) == 1
    assert scope.get("path_params", {}) == dict(re.findall(r'(\w+)="(\w+)"', goes_to))


@pytest.mark.parametrize(("case", "given", "seen"), rows("docs/path-router.md", "What the application sees"))
async def test_the_application_sees_itself_at_its_place(case: str, given: str, seen: str) -> None:
    app = Spy()
    make, event = (websocket_scope, CONNECT) if case.startswith("websocket") else (http_scope, {})
    path, root_path = quoted(given)
    await call(PathRouter({"/api": app, "/": app}), make(path, root_path=root_path), event)
    ((scope, _, _),) = app.calls
    assert [scope["path"], scope["root_path"]] == quoted(seen)


@pytest.mark.parametrize(("given", "hosts", "goes_to"), rows("docs/host-router.md", "Behaviour"))
async def test_the_host_goes_to_the_application(given: str, hosts: str, goes_to: str) -> None:
    together = " and " in given or given == "none"
    for values in [quoted(given)] if together else [[value] for value in quoted(given)]:
        spies = {host: Spy() for host in quoted(hosts)}
        default = Spy()
        scope = http_scope(headers=[(b"host", value.encode()) for value in values])
        await call(HostRouter(spies, default=default), scope)
        expected = default if goes_to.startswith("the default") else spies[quoted(goes_to)[0]]
        assert expected.calls[0][0] is scope
        assert sum(len(spy.calls) for spy in [default, *spies.values()]) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a lazy start needs it
async def test_each_choice_of_who_starts_does_what_its_row_says() -> None:
    started: list[str] = []

    def app(name: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await receive()
                started.append(name)
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})

        return app

    one, other = app("one"), app("other")
    choices = {"`None`, the default": None, '`"lazy"`': "lazy", "`False`": False}
    choices['an application, or `"module:attribute"`'] = other
    assert table("docs/lifespan.md", "Who starts the applications").keys() == choices.keys()
    found = []
    for choice in choices.values():
        for lifespan in (True, False):
            router = PathRouter({"/one": one, "/other": other}, lifespan=choice)
            if lifespan and choice is False:
                with pytest.raises(ValueError, match="lifespan=False"):
                    await call(router, lifespan_scope(), STARTUP, SHUTDOWN)
            elif lifespan:
                await call(router, lifespan_scope(), STARTUP, SHUTDOWN)
            else:
                await call(router, http_scope("/one"))
            found.append([*started])
            started.clear()
    both = ["one", "other"]
    assert found == [both, [], both, both, [], [], ["other"], []]


@pytest.mark.parametrize("value", ["lazy", False])
def test_in_the_mapping_of_the_protocol_router_lifespan_is_an_application(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        ProtocolRouter({"http": Spy(), "lifespan": value})


# CORS


APP, API = "https://app.example.com", "api.example.com"
REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 500: "Internal Server Error"}


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """An application that adds no header of its own."""
    if scope["type"] == "websocket":
        await receive()
        return await send({"type": "websocket.accept"})
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


def cors(policy: str) -> CORSMiddleware:
    return CORSMiddleware(silent, **eval(f"dict({policy})"))


async def answer(app: Any, *lines: str, method: str = "GET", path: str = "/") -> tuple[int, list[str], str]:
    """The status, the header lines in their order by name and the body that ``app`` gives to a request."""
    pairs = [line.split(": ", 1) for line in lines]
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
    if any(name.lower() == "upgrade" for name, _ in pairs):
        sent = await call(app, websocket_scope(path, headers=headers), CONNECT)
        return {"websocket.accept": 101, "websocket.close": 403}[sent[0]["type"]], [], ""
    start, *bodies = await call(app, http_scope(path, method=method, headers=headers))
    found = sorted(f"{name.decode()}: {value.decode()}" for name, value in start.get("headers", ()))
    return start["status"], found, b"".join(message.get("body", b"") for message in bodies).decode()


WIRE = [block for block in blocks(CORS, "text") if re.match(r"(GET|OPTIONS) ", block)]


@pytest.mark.parametrize("block", WIRE)
async def test_the_request_on_the_wire_gets_the_response_on_the_wire(block: str) -> None:
    (code, *_) = blocks(CORS, "python")
    names: dict[str, Any] = {"application": silent}
    exec(code, names)
    request, response, *body = block.strip().split("\n\n")
    line, *lines = request.splitlines()
    method, path, _ = line.split(" ")
    status, headers, text = await answer(names["application"], *lines, method=method, path=path)
    first, *described = response.splitlines()
    assert first == f"HTTP/1.1 {status} {REASONS[status]}"
    assert sorted(described) == headers
    assert body == [text] * bool(text)


def test_the_wire_has_all_kinds_of_requests() -> None:
    assert len(WIRE) == 5


@pytest.mark.parametrize(("entry", "allows", "refuses"), rows(CORS, "Origins"))
async def test_the_entry_allows_these_origins_and_not_those(entry: str, allows: str, refuses: str) -> None:
    for layer in (CORSMiddleware(silent, quoted(entry)), WebSocketOriginMiddleware(silent, quoted(entry))):
        for cell, allowed in ((allows, True), (refuses, False)):
            for origin in quoted(cell):
                if isinstance(layer, WebSocketOriginMiddleware):
                    status, *_ = await answer(layer, f"Origin: {origin}", "Upgrade: websocket")
                    assert status == (101 if allowed else 403)
                else:
                    asked = f"Origin: {origin}", "Access-Control-Request-Method: GET"
                    status, *_ = await answer(layer, *asked, method="OPTIONS")
                    assert status == (200 if allowed else 400)


@pytest.mark.parametrize("lines", [["null"], ["https://app.example.com/"], [APP, APP]])
async def test_a_star_is_answered_to_all_and_opens_no_websocket_to_what_is_no_origin(lines: list[str]) -> None:
    origins = [f"Origin: {line}" for line in lines]
    layer = CORSMiddleware(silent, ["*"], websocket_origins=["*"])
    asked = *origins, "Access-Control-Request-Method: GET"
    assert (await answer(layer, *asked, method="OPTIONS"))[0] == 200
    assert (await answer(layer, *origins))[1] == ["access-control-allow-origin: *"]
    assert (await answer(layer, *origins, "Upgrade: websocket"))[0] == 403
    assert (await answer(CORSMiddleware(silent, [APP]), *asked, method="OPTIONS"))[0] == 400


@pytest.mark.parametrize(("policy", "origin", "added", "_where"), rows(CORS, "Responses"))
async def test_the_response_gets_the_headers_of_its_row(policy: str, origin: str, added: str, _where: str) -> None:
    for status in (200, 404, 500):

        async def app(scope: Any, receive: Any, send: Any, status: int = status) -> None:
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body"})

        layer = CORSMiddleware(app, **eval(f"dict({quoted(policy)[0]})"))
        found = await answer(layer, *[f"Origin: {value}" for value in quoted(origin)])
        assert found == (status, sorted(quoted(added)), "")


async def test_the_headers_of_the_application_stay_and_vary_is_merged() -> None:
    for own, vary in (("Accept-Encoding", "Accept-Encoding, Origin"), ("*", "*"), ("origin, Cookie", "origin, Cookie")):

        async def app(scope: Any, receive: Any, send: Any, own: str = own) -> None:
            headers = [(b"access-control-allow-origin", b"*"), (b"vary", own.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body"})

        layer = CORSMiddleware(app, [APP], allow_credentials=True)
        _, headers, _ = await answer(layer, f"Origin: {APP}")
        assert headers == ["access-control-allow-origin: *", f"vary: {vary}"]


@pytest.mark.parametrize(("origin", "asked", "answered", "_where"), rows(CORS, "Preflights"))
async def test_the_preflight_gets_the_answer_of_its_row(origin: str, asked: str, answered: str, _where: str) -> None:
    section = flat(TEXTS[CORS].partition("### Preflights")[2])
    policy = re.search(r"With `(allow_origins=.*?)`:", section)
    assert policy
    method, *names = quoted(asked)
    lines = [f"Origin: {quoted(origin)[0]}", f"Access-Control-Request-Method: {method}"]
    lines += [f"Access-Control-Request-Headers: {name}" for name in names]
    status, headers, body = await answer(cors(policy[1]), *lines, method="OPTIONS")
    assert f"{status} `{body}`" == answered
    assert ("access-control-allow-methods: PUT" in headers) is (status == 200)


async def test_what_is_said_of_stars_and_of_the_private_network() -> None:
    async def told(policy: str, *asked: str, method: str = "PROPFIND") -> list[str]:
        lines = [f"Origin: {APP}", f"Access-Control-Request-Method: {method}", *asked]
        status, headers, body = await answer(cors(policy), *lines, method="OPTIONS")
        assert (status, body) == (200, "OK")
        return headers

    stars = 'allow_methods=["*"], allow_headers=["*"]'
    public = await told(f'allow_origins=["*"], {stars}', "Access-Control-Request-Headers: x-b,x-a")
    assert "access-control-allow-headers: *, Authorization" in public
    eight = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
    assert f"access-control-allow-methods: {eight}, PROPFIND" in public
    private = await told(
        f'allow_origins=["{APP}"], allow_credentials=True, {stars}', "Access-Control-Request-Headers: x-b"
    )
    assert "access-control-allow-headers: x-b" in private
    for number, network in itertools.product((0, 1), ("true", "false")):
        policy = f'allow_origins=["{APP}"], allow_private_network={bool(number)}'
        headers = await told(policy, f"Access-Control-Request-Private-Network: {network}", method="GET")
        granted = "access-control-allow-private-network: true" in headers
        assert granted is (number == 1 and network == "true")


@pytest.mark.parametrize(("origin", "host", "policy", "answered"), rows(CORS, "Websockets are checked"))
async def test_the_handshake_gets_the_answer_of_its_row(origin: str, host: str, policy: str, answered: str) -> None:
    lines = [*(f"Origin: {value}" for value in quoted(origin)), f"Host: {quoted(host)[0]}", "Upgrade: websocket"]
    status, *_ = await answer(cors(*quoted(policy) or [f'allow_origins=["{APP}"]']), *lines)
    assert answered.startswith(str(status))


async def test_what_the_regex_the_function_and_the_paths_mean_for_websockets() -> None:
    async def handshake(origin: str, path: str = "/", **options: Any) -> int:
        layer = CORSMiddleware(silent, [], **options)
        status, *_ = await answer(layer, f"Origin: {origin}", f"Host: {API}", "Upgrade: websocket", path=path)
        return status

    evil = "https://evil.example"
    assert await handshake(evil) == 403
    assert await handshake("https://a.example.com", allow_origin_regex=r"https://.*\.example\.com") == 101
    assert await handshake(evil, allow_origin_func=lambda origin, scope: origin == evil) == 101
    assert await handshake(evil, allow_origin_func=lambda origin, scope: 1) == 403
    assert await handshake(evil, allow_origin_func=lambda origin, scope: True, websocket_origins=[]) == 403
    options = {"allow_credentials": True, "websocket_origins": ["http://a.example", "https://*.github.io"]}
    assert await handshake("http://a.example", **options) == 101
    assert await handshake("https://a.github.io", **options) == 101
    assert await handshake(f"https://{API}", websocket_origins=[]) == 101
    assert await handshake(evil, "/ws", paths=["/api"]) == 101
    assert await handshake(evil, "/api/ws", paths=["/api"]) == 403


@pytest.mark.parametrize(("slip", "examples"), rows(CORS, "Regular expressions"))
def test_a_regular_expression_with_a_slip_is_refused_with_credentials(slip: str, examples: str) -> None:
    is_opt_out = slip.startswith(("`http://`", "everybody below a public suffix"))
    for regex in (text for text in quoted(examples) if not text.startswith("https://evil")):
        CORSMiddleware(silent, allow_origin_regex=regex)
        with pytest.raises(ConfigurationError):
            CORSMiddleware(silent, allow_origin_regex=regex, allow_credentials=True)
        with nullcontext() if is_opt_out else pytest.raises(ConfigurationError):
            CORSMiddleware(silent, allow_origin_regex=regex, allow_credentials=True, allow_insecure_origins=True)


def test_no_more_than_an_origin_is_matched() -> None:
    (longest,) = re.findall(r"at most (\d+) bytes are matched", TEXTS[CORS])
    assert int(longest) == MAX_ORIGIN


async def test_two_policies_by_path() -> None:
    (code,) = (code for code in blocks(CORS, "python") if "paths=" in code)
    names = {"application": silent, "CORSMiddleware": CORSMiddleware}
    exec(code, names)
    for path, expected in (("/public/x", "*"), ("/api/x", APP), ("/publicity", None), ("/", None)):
        _, headers, _ = await answer(names["application"], f"Origin: {APP}", path=path)
        (origin,) = [line for line in headers if "allow-origin" in line] or [None]
        assert origin == (expected and f"access-control-allow-origin: {expected}")
    for path, expected in (("/ws/", 403), ("/public/", 403), ("/elsewhere", 101)):
        status, *_ = await answer(names["application"], "Origin: https://evil.example", "Upgrade: websocket", path=path)
        assert status == expected


async def test_of_two_instances_for_one_path_the_outer_answers_preflights_and_a_websocket_passes_both() -> None:
    layer = CORSMiddleware(CORSMiddleware(silent, ["https://b.example"]), [APP])
    for origin in (APP, "https://b.example"):
        asked = f"Origin: {origin}", "Access-Control-Request-Method: GET"
        assert (await answer(layer, *asked, method="OPTIONS"))[0] == (200 if origin == APP else 400)
        assert (await answer(layer, f"Origin: {origin}", "Upgrade: websocket"))[0] == 403


async def test_what_a_layer_inside_litestar_does_not_see_and_one_around_it_does() -> None:
    @get("/items")
    async def items() -> str:
        return "one"

    inside = Litestar([items], middleware=[DefineMiddleware(CORSMiddleware, allow_origins=[APP])])
    around = CORSMiddleware(Litestar([items]), [APP])
    for app, seen in ((inside, False), (around, True)):
        for method, path, status in (("GET", "/items", 200), ("GET", "/nothing", 404), ("PUT", "/items", 405)):
            found, headers, _ = await answer(app, f"Origin: {APP}", method=method, path=path)
            assert found == status
            assert (f"access-control-allow-origin: {APP}" in headers) is (seen or status == 200)


def test_what_the_browser_says_stands_in_the_table() -> None:
    """Other methods and headers than there, the rest to the letter."""

    def words(text: str) -> str:
        return re.sub(r"(?<=Method )\w+|(?<=field )[\w-]+", "…", text)

    described = [words(text) for row in rows(CORS, "Why did the browser refuse?") for text in quoted(row[0])]
    said = {words(row.culprit) for row in BROWSED.values()}
    assert not [text for text in said if not any(text in whole for whole in described)]
    unseen = [whole for whole in described if not any(text in whole for text in said)]
    assert [whole.split()[0] for whole in unseen] == ["…", "Redirect", "The", "The"]  # frames and proxies


# outermost


async def test_the_error_page_has_the_headers_only_of_what_is_outermost() -> None:
    (code,) = (code for code in blocks("docs/stack.md", "python") if "exception_handler" in code)
    names: dict[str, Any] = {}
    exec(code, names)
    app = names["app"]
    assert isinstance(app, FastAPI)
    added = FastAPI()
    added.add_middleware(CORSMiddleware, allow_origins=[APP])

    def fails() -> None:
        raise RuntimeError("a fault")

    (block,) = (block for block in blocks("docs/stack.md", "text") if "Internal Server Error" in block)
    described = [re.split(" {2,}", line)[1] for line in block.splitlines()]
    for application, has_them in ((app, True), (added, False)):
        application.get("/")(fails)
        client = Client(REQUEST)
        with pytest.raises(RuntimeError, match="a fault"):
            await application(http_scope(headers=[(b"origin", APP.encode())]), client.receive, client.send)
        start, *_ = client.sent
        lines = [f"{name.decode()}: {value.decode()}" for name, value in start["headers"]]
        assert described[0] == f"HTTP/1.1 {start['status']} {REASONS[start['status']]}"
        assert all((line in lines) is has_them for line in described[1:])


async def test_a_second_call_stands_around_the_first_and_what_is_added_inside() -> None:
    order: list[str] = []

    def layer(app: Any, name: str) -> Any:
        order.append(name)
        return app

    app = FastAPI()
    assert outermost(app, Middleware(layer, name="first")) is app
    outermost(app, Middleware(layer, name="second"))
    app.add_middleware(layer, name="added")
    assert order == ["first", "second"]  # each once, around nothing
    order.clear()
    await call(app, http_scope())
    assert order == ["added", "first", "second"]


# Servers and proxies: what tests/matrix runs; here only that what is written there exists


COMMANDS = [line for block in blocks(DEPLOYING, "sh") for line in block.splitlines()]


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "daphne", "granian"])
def test_the_options_of_the_servers_exist(server: str) -> None:
    options = {option for line in COMMANDS if line.startswith(server) for option in re.findall(r"--[\w-]+", line)}
    (how,) = table(DEPLOYING, "Scheme and address")[server]
    options |= {*re.findall(r"--[\w-]+", how)}
    options |= {"uvicorn": {"--lifespan"}, "granian": {"asginl"}}.get(server, set())
    command = [sys.executable, "-m", server, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert options
    assert not [option for option in options if option not in done.stdout]


def test_what_is_wrapped_around_the_application_can_be() -> None:
    names = {"ProxyFixMiddleware": ProxyFixMiddleware, "wrap_asgi_with_proxy_headers": wrap_asgi_with_proxy_headers}
    for server, name in (("hypercorn", "ProxyFixMiddleware"), ("granian", "wrap_asgi_with_proxy_headers")):
        (how,) = table(DEPLOYING, "Scheme and address")[server]
        module, _, call = quoted(how)[0].rpartition(f".{name}")
        assert names[name].__module__.startswith(module)
        assert callable(eval(name + call, {**names, "application": Spy()}))


def test_nginx_takes_its_configurations(tmp_path: Path) -> None:
    # Debian keeps it where only root looks.
    nginx = shutil.which("nginx", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
    if nginx is None:
        pytest.skip("needs nginx: apt-get install nginx")
    whole, location, caching = blocks(DEPLOYING, "nginx")
    variable = re.search(r"map .*?^}", whole, re.MULTILINE | re.DOTALL)
    assert variable
    for text in (whole, f"{variable[0]} server {{ listen 80; {location} }}", caching):
        text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
        paths = " ".join(f"{name}_temp_path temp;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (tmp_path / "nginx.conf").write_text(f"pid pid; events {{}} http {{ access_log off; {paths} {text} }}")
        command = [nginx, "-t", "-p", tmp_path, "-c", "nginx.conf", "-g", "error_log stderr;"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
