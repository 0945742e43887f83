"""SessionMiddleware beside Starlette's and starsessions', with cookies that each class has made itself.

starsessions keeps its data in cookies too, and loads it for each request, since it does nothing before that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

import anyio
from starlette.middleware.sessions import SessionMiddleware as StarlettesSessionMiddleware
from starsessions import CookieStore, SessionAutoloadMiddleware
from starsessions import SessionMiddleware as StarsessionsMiddleware

from middleware import MemoryStore, SessionMiddleware
from tests.asgi import BODY, START, call, http_scope
from tests.benchmarks.cors import CHROMIUM, FIREFOX, RESPONSES
from tests.benchmarks.measure import Scopes, nanoseconds, table

SECRET = "0123456789abcdef" * 4
MAX_AGE = 14 * 86_400  # seconds
CLIENTS = ("host user-agent accept cookie", FIREFOX, CHROMIUM)  # the names of their headers
OTHERS = [f"{name}={number:032x}" for number, name in enumerate(("csrftoken", "_ga", "theme", "consent", "_gid"))]
NUMBERS = count()
DATA = {"user": 42, "name": "Ada Lovelace", "theme": "dark", "views": 7}


def starsessions(app: Any) -> Any:
    return StarsessionsMiddleware(
        SessionAutoloadMiddleware(app), CookieStore(SECRET), MAX_AGE, cookie_path="/", cookie_https_only=False
    )


STARLETTE, SIGNED, ENCRYPTED, STORED = "Starlette", "signed", "encrypted", "MemoryStore"
OURS = (SIGNED, ENCRYPTED, STORED)
CLASSES: dict[str, Callable[[Any], Any]] = {
    STARLETTE: partial(StarlettesSessionMiddleware, secret_key=SECRET),
    "starsessions": starsessions,
    SIGNED: partial(SessionMiddleware, secret_key=SECRET),
    ENCRYPTED: partial(SessionMiddleware, secret_key=SECRET, encrypt=True),
    STORED: partial(SessionMiddleware, store=MemoryStore()),
}


def nothing(session: Any) -> None: ...


def begin(session: Any) -> None:
    session.update(DATA)


def read(session: Any) -> None:
    session["user"]


def write(session: Any) -> None:
    session["views"] = next(NUMBERS)


# What the application does, and which cookies come: of others, and that of the session.
CASES: dict[str, tuple[Callable[[Any], None], bool, bool]] = {
    "no cookie": (nothing, False, False),
    "cookies of others": (nothing, True, False),
    "untouched": (nothing, True, True),
    "read": (read, True, True),
    "write": (write, True, True),
}

Times = dict[str, dict[str, float]]  # what the classes add, by case


def main() -> None:
    _targets({title: _measured(title, headers) for title, headers in RESPONSES.items()})


def _measured(title: str, headers: list[tuple[bytes, bytes]]) -> Times:
    """Measure and print one kind of responses."""
    candidates: dict[tuple[str, str], tuple[Any, Scopes]] = {}
    for case, (act, others, own) in CASES.items():
        candidates[case, "bare"] = _application(nothing, headers), _scopes(OTHERS if others else [])
        for which, made in CLASSES.items():
            cookies = OTHERS * others + [_cookie(made)] * own
            candidates[case, which] = made(_application(act, headers)), _scopes(cookies)

    async def measured() -> dict[tuple[str, str], float]:
        return nanoseconds(candidates)

    times = anyio.run(measured)  # a session in a store has a lock, which needs an event loop

    added: Times = {case: {} for case in CASES}
    for (case, which), time in times.items():
        added[case][which] = time if which == "bare" else time - times[case, "bare"]
    rows = {
        case: [round(row[which]) for which in ("bare", *CLASSES)]
        + [row[which] / row[STARLETTE] for which in ("starsessions", *OURS)]
        for case, row in added.items()
    }
    columns = ["bare", *CLASSES, *(f"{which} / Starlette" for which in ("starsessions", *OURS))]
    table(f"SessionMiddleware, {title}: ns added to the bare application", columns, rows)
    return added


def _application(act: Callable[[Any], None], headers: list[tuple[bytes, bytes]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        act(scope.get("session"))
        await send({**START, "headers": [*headers]})  # its own: Starlette's class writes into it
        await send(BODY)

    return app


def _cookie(made: Callable[[Any], Any]) -> str:
    """The cookie of a session that the class has begun."""
    start, _ = anyio.run(call, made(_application(begin, [])), http_scope())
    (line,) = [value for name, value in start["headers"] if name == b"set-cookie"]
    return line.decode().partition(";")[0]


def _scopes(cookies: list[str]) -> Scopes:
    """Scopes of the clients in turn, whose headers are made anew, as a server makes them."""
    heads = []
    for client in CLIENTS:
        lines = {name: f"{name}:1" for name in client.split()}
        lines["cookie"] = f"cookie:{'; '.join(cookies)}" if cookies else ""
        heads.append("\n".join(filter(None, lines.values())).encode())
    template = http_scope()

    def scope(number: int) -> dict[str, Any]:
        lines = heads[number % len(heads)].split(b"\n")
        return {**template, "headers": [tuple(line.split(b":", 1)) for line in lines]}

    return scope


def _targets(added: Mapping[str, Times]) -> None:
    """Print what is to be reached beside what is."""
    what = {"cookies of others": "0.35", "untouched": "0.10", "read": "0.60", "write": "0.60"}
    rows: dict[str, list[float | str]] = {}
    for case, most in what.items():
        for ours in OURS:
            ratios = [times[case][ours] / times[case][STARLETTE] for times in added.values()]
            rows[f"{case}, {ours} / Starlette's"] = [*ratios, most]
    table("SessionMiddleware: ratios to reach, added", [*added, "at most"], rows)
