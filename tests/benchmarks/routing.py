"""The routers beside their peers, on scopes of several clients in rotation.

What a router does not find goes to its default; to a last entry that matches everything, where the peer has none.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import anyio
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path
from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware
from starlette.routing import Host, Mount, Router

from middleware import HostRouter, PathRouter, ProtocolRouter
from tests.asgi import BODY, START, STARTUP, Client, http_scope, lifespan_scope, websocket_scope
from tests.benchmarks.measure import Scopes, nanoseconds, table

SIZES = (1, 10, 100, 1_000)
LONG = "/x" * 30_000
BROWSER = (
    "host connection cache-control sec-ch-ua sec-ch-ua-mobile upgrade-insecure-requests user-agent accept "
    "sec-fetch-site sec-fetch-mode sec-fetch-dest accept-encoding accept-language cookie"
)
CLIENTS = ("host accept", "user-agent accept accept-encoding cookie host", BROWSER)  # the names of their headers

Key = tuple[str, int, str]  # router, number of entries, request
Candidates = dict[Key, tuple[Any, Scopes]]
Times = dict[Key, float]
BARE: Key = ("bare", 0, "")


class Mounts(NamedTuple):
    """A set of prefixes by number, and the root path of the server."""

    title: str
    prefix: Callable[[int], str]
    root: str = ""


class Hosts(NamedTuple):
    """A set of hosts by number, how Starlette writes them, and what a client asks for."""

    title: str
    host: str
    in_starlette: str
    asked: str


MOUNTS = (
    Mounts("plain", "/m{:03}".format),
    Mounts("with {name}", lambda number: f"/m{number:03}" if number % 3 else f"/m{number:03}/{{name}}"),
    Mounts("root path", "/m{:03}".format, root="/outer"),
)
HOSTS = (
    Hosts("exact", "h{}.example.com", "h{}.example.com", "h{}.example.com"),
    Hosts("wildcards", "*.h{}.example.com", "{{name}}.h{}.example.com", "www.h{}.example.com"),
)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def bare_with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    await send(START)
    await send(BODY)


async def with_state(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["database"] = object()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    await send(START)
    await send(BODY)


def main() -> None:
    asyncio.run(_protocols())
    _targets({mounts.title: _paths(mounts) for mounts in MOUNTS})
    for hosts in HOSTS:
        _hosts(hosts)


async def _protocols() -> None:
    mapping = {"http": bare, "websocket": bare}
    stateless = ProtocolRouter(http=bare_with_lifespan, websocket=bare)
    stateful = ProtocolRouter(http=with_state, websocket=with_state)
    lifespans = []
    for router in (stateless, stateful):
        client = Client(STARTUP)
        lifespans.append(asyncio.create_task(router(lifespan_scope(), client.receive, client.send)))
    await anyio.wait_all_tasks_blocked()

    apps = {
        "the bare application": bare,
        "Channels' ProtocolTypeRouter": ProtocolTypeRouter(mapping),
        "ProtocolRouter": ProtocolRouter(mapping),
        "ProtocolRouter, a lifespan runs": stateless,
        "ProtocolRouter, with state from a lifespan": stateful,
    }
    for make in (http_scope, websocket_scope):
        times = nanoseconds({name: (app, _scopes(make)) for name, app in apps.items()})
        floor, peer, *_ = times.values()
        rows = {
            name: (round(time), round(time - floor), (time - floor) / (peer - floor)) for name, time in times.items()
        }
        title = f"ProtocolRouter, {make()['type']} scope: ns per request, added to the bare application, as a ratio"
        table(title, ("total", "added", "of Channels'"), rows)
    for lifespan in lifespans:
        lifespan.cancel()


def _paths(mounts: Mounts) -> Times:
    """Measure and print one set of mounts."""
    candidates: Candidates = {BARE: (bare, _scopes())}
    for size in SIZES:
        prefixes = [mounts.prefix(number) for number in range(size)]
        requests = {"first": prefixes[0] + "/7", "last": prefixes[-1] + "/7", "miss": "/none/of/these"}
        if size == 10:
            requests |= {f"{where}, 30,000 segments": requests[where] + LONG for where in ("first", "miss")}
        for name, router in _path_routers(prefixes).items():
            make = websocket_scope if name == "Channels" else http_scope
            root = "" if name == "hypercorn" else mounts.root  # the server of that name leaves it out, too
            for where, path in requests.items():
                scopes = _scopes(make, path=root + path.replace("{name}", "blue"), root_path=mounts.root)
                candidates[name, size, where] = router, scopes
    return _measured(f"PathRouter, {mounts.title}", candidates)


def _path_routers(prefixes: list[str]) -> dict[str, Any]:
    patterns = [re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", prefix[1:]) for prefix in prefixes]
    routers = {
        "PathRouter": PathRouter(dict.fromkeys(prefixes, bare), default=bare),
        "Starlette": Router([Mount(prefix, bare) for prefix in prefixes], default=bare),
        "Channels": URLRouter([re_path(f"^{pattern}/", bare) for pattern in patterns] + [re_path("", bare)]),
        "hypercorn": AsyncioDispatcherMiddleware(dict.fromkeys([*prefixes, ""], bare)),
    }
    if any("{" in prefix for prefix in prefixes):
        del routers["hypercorn"]  # it has no names
    return routers


def _hosts(hosts: Hosts) -> None:
    """Measure and print one set of hosts."""
    candidates: Candidates = {BARE: (bare, _scopes())}
    for size in SIZES:
        numbers = range(size)
        routers = {
            "HostRouter": HostRouter({hosts.host.format(number): bare for number in numbers}, default=bare),
            "Starlette": Router([Host(hosts.in_starlette.format(number), bare) for number in numbers], default=bare),
        }
        asked = {where: hosts.asked.format(number) for where, number in (("first", 0), ("last", size - 1))}
        for name, router in routers.items():
            for where, host in {**asked, "miss": "example.org"}.items():
                candidates[name, size, where] = router, _scopes(host=host)
    _measured(f"HostRouter, {hosts.title}", candidates)


def _scopes(make: Callable[..., dict[str, Any]] = http_scope, *, host: str = "example.com", **given: Any) -> Scopes:
    """Scopes of the clients in turn."""
    templates = []
    for client in CLIENTS:
        headers = [(name.encode(), host.encode() if name == "host" else b"1") for name in client.split()]
        templates.append(make(headers=headers, **given))
    return lambda number: {**templates[number % len(templates)], "state": {}}


def _measured(title: str, candidates: Candidates) -> Times:
    """Measure all routers; print what they add to the bare application."""
    times = nanoseconds(candidates)
    routers = dict.fromkeys(name for name, *_ in times if name != BARE[0])
    rows = {
        f"{size:>5,} {where}": [round(times[name, size, where] - times[BARE]) for name in routers]
        for name, size, where in times
        if name == next(iter(routers)) and (size, where) != (1, "last")
    }
    table(f"{title}: ns added to the bare application's {times[BARE]:.0f}", [*routers], rows)
    return times


def _targets(measured: Mapping[str, Times]) -> None:
    """Print what is to be reached beside what is."""

    def reached(times: Times) -> list[float | str]:
        def ours(size: int, *requests: str) -> float:
            return max(times["PathRouter", size, where] for where in requests)

        def added(time: float) -> float:
            return time - times[BARE]

        one, peer = ours(1, "first"), times["Starlette", 1, "first"]
        hypercorn = times.get(("hypercorn", 10, "last"))
        return [
            added(one) / added(peer),
            one / peer,
            added(ours(10, "last")) / added(hypercorn) if hypercorn else "-",
            ours(1_000, "first", "last") / one,
            max(ours(10, f"{where}, 30,000 segments") / ours(10, where) for where in ("first", "miss")),
        ]

    what = {
        "a hit of 1 mount / Starlette's, added": "0.40",
        "a hit of 1 mount / Starlette's, total": "-",
        "the last of 10 / hypercorn's, added": "1.00",
        "1,000 mounts / 1 mount, total": "1.20",
        "30,000 segments / a short path, total": "10.00",
    }
    columns = [reached(times) for times in measured.values()]
    rows = {name: [*cells, most] for (name, most), *cells in zip(what.items(), *columns, strict=True)}
    table("PathRouter: ratios to reach", [*measured, "at most"], rows)
