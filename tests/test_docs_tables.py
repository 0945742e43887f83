"""The tables that say what happens: each row is tried."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from hypercorn.middleware import ProxyFixMiddleware

from middleware import ConfigurationError, HostRouter, PathRouter, ProtocolRouter
from tests.asgi import CONNECT, SHUTDOWN, STARTUP, Spy, call, http_scope, lifespan_scope, websocket_scope
from tests.pages import blocks, quoted, rows, table
from tests.servers.process import free_port

DEPLOYING = "docs/deploying.md"


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
    whole, location = blocks(DEPLOYING, "nginx")
    variable = re.search(r"map .*?^}", whole, re.MULTILINE | re.DOTALL)
    assert variable
    for text in (whole, f"{variable[0]} server {{ listen 80; {location} }}"):
        text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
        paths = " ".join(f"{name}_temp_path temp;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (tmp_path / "nginx.conf").write_text(f"pid pid; events {{}} http {{ access_log off; {paths} {text} }}")
        command = [nginx, "-t", "-p", tmp_path, "-c", "nginx.conf", "-g", "error_log stderr;"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
