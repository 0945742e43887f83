"""CORSMiddleware beside Starlette's, on requests of several clients in rotation, with short and long responses.

The headers of each request are made for it, as a server makes them: no name or value is an object that was there
before, whose hash is known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import cycle
from typing import Any, NamedTuple

from starlette.middleware.cors import CORSMiddleware as StarlettesCORSMiddleware

from middleware import CORSMiddleware
from tests.asgi import BODY, START, http_scope
from tests.benchmarks.measure import Scopes, nanoseconds, table

FIREFOX = (
    "host user-agent accept accept-language accept-encoding referer origin connection cookie sec-fetch-dest "
    "sec-fetch-mode sec-fetch-site priority"
)
CHROMIUM = (
    "host connection sec-ch-ua-platform user-agent accept sec-ch-ua sec-ch-ua-mobile origin sec-fetch-site "
    "sec-fetch-mode sec-fetch-dest referer accept-encoding accept-language cookie"
)
# The names of their headers; those of a case stand in the place of "origin".
CLIENTS = ("host user-agent accept origin", FIREFOX, CHROMIUM)
RESPONSES = {
    "few headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
    "many headers": [  # as Django sends them
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"X-Frame-Options", b"DENY"),
        (b"Vary", b"Cookie"),
        (b"Content-Length", b"5"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Referrer-Policy", b"same-origin"),
        (b"Cross-Origin-Opener-Policy", b"same-origin"),
        (b"Set-Cookie", b"csrftoken=vYR0fNnDAd8dSy9gZ0Mmjm3Gj0iDqVdC; Path=/; SameSite=Lax"),
    ],
}
NUMBERS = 10_000  # of different requests in a case with a number: more than any class remembers

APP = "origin:https://app.example.com"
EVIL = "origin:https://evil.example"
ANY_APP = "origin:https://app{}.example.com"
ANY_EVIL = "origin:https://evil{}.example"
METHOD = "access-control-request-method:PUT"
NAMES = METHOD + "\naccess-control-request-headers:"
TEN = ",".join(f"x-header-{number}" for number in range(10))
LONG = "x{}" + ",x-name" * 9_362  # 64 KiB

ONE: dict[str, Any] = {
    "allow_origins": ["https://app.example.com"],
    "allow_methods": ["PUT"],
    "allow_headers": ["Content-Type", *TEN.split(",")],
}
MANY = {"allow_origins": [f"https://app{number}.example.com" for number in range(NUMBERS)]}
PATTERN = {"allow_origins": ["https://*.example.com"]}
REGEX = {"allow_origin_regex": r"https://(?:[a-z0-9-]+\.)+example\.com"}
PUBLIC = {"allow_origins": ["*"]}
CREDENTIALED = {**ONE, "allow_credentials": True, "expose_headers": ["X-Total"]}


class Case(NamedTuple):
    """Headers, with ``{}`` for a number that changes each time, and the options of both classes."""

    headers: str
    ours: Mapping[str, Any]
    starlettes: Mapping[str, Any] | None = None  # where they are other words for the same


ACTUAL = {
    "no Origin": Case("", ONE),
    "allowed": Case(APP, ONE),
    "allowed, credentials": Case(APP, CREDENTIALED),
    "pattern / regex": Case(APP, PATTERN, REGEX),
    "regex": Case(APP, REGEX),
    "denied": Case(EVIL, ONE),
    "*": Case(APP, PUBLIC),
    "*, no Origin": Case("", PUBLIC),
    "the first of 10,000": Case(ANY_APP.format(0), MANY),
    "the last of 10,000": Case(ANY_APP.format(NUMBERS - 1), MANY),
    "each of 10,000": Case(ANY_APP, MANY),
}
NEVER_SEEN = {
    "pattern / regex": Case(ANY_APP, PATTERN, REGEX),
    "regex": Case(ANY_APP, REGEX),
    "denied": Case(ANY_EVIL, ONE),
    "denied, pattern / regex": Case(ANY_EVIL, PATTERN, REGEX),
    "64 KiB": Case(f"origin:https://{{}}{'.a' * 32_768}", ONE),
    "64 KiB, regex": Case(f"origin:https://{{}}{'.a' * 32_768}", REGEX),
}
PREFLIGHTS = {
    "a method": Case(f"{METHOD}\n{APP}", ONE),
    "a header": Case(f"{NAMES}content-type\n{APP}", ONE),
    "ten headers": Case(f"{NAMES}{TEN}\n{APP}", ONE),
    "ten headers, credentials": Case(f"{NAMES}{TEN}\n{APP}", CREDENTIALED),
    "ten headers, all allowed": Case(f"{NAMES}{TEN}\n{APP}", {**CREDENTIALED, "allow_headers": ["*"]}),
    "denied origin": Case(f"{NAMES}content-type\n{EVIL}", ONE),
    "denied origin, never seen": Case(f"{NAMES}content-type\n{ANY_EVIL}", ONE),
    "denied header": Case(f"{NAMES}x-other\n{APP}", ONE),
    "64 KiB of names": Case(f"{NAMES}{LONG}\n{APP}", ONE),
    "64 KiB of commas": Case(f"{NAMES}x{{}}{',' * 65_536}\n{APP}", ONE),
    "64 KiB of names, denied origin": Case(f"{NAMES}{LONG}\n{ANY_EVIL}", ONE),
}

Times = dict[str, tuple[float, float]]  # what Starlette's class and ours add, by case


def main() -> None:
    # The first refusals are logged, which is nothing for the output of a benchmark.
    logging.getLogger("middleware.cors").addHandler(logging.NullHandler())
    few = RESPONSES["few headers"]
    actual = {title: _measured(title, ACTUAL, headers) for title, headers in RESPONSES.items()}
    never_seen = _measured("origins never seen before", NEVER_SEEN, few)
    preflights = _measured("preflights", PREFLIGHTS, few, "OPTIONS")
    _targets(actual, preflights, never_seen)


def _measured(title: str, cases: Mapping[str, Case], headers: list[tuple[bytes, bytes]], method: str = "GET") -> Times:
    """Measure and print one kind of requests."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": headers})  # its own: Starlette's class writes into it
        await send(BODY)

    candidates: dict[tuple[str, str], tuple[Any, Scopes]] = {("", ""): (app, _scopes("GET", ""))}
    for name, case in cases.items():
        peer = StarlettesCORSMiddleware(app, **(case.ours if case.starlettes is None else case.starlettes))
        candidates[name, "Starlette"] = peer, _scopes(method, case.headers)
        candidates[name, "ours"] = CORSMiddleware(app, **case.ours), _scopes(method, case.headers)
    times = nanoseconds(candidates)
    floor = 0 if method == "OPTIONS" else times["", ""]  # a preflight does not reach the application
    added = {name: (times[name, "Starlette"] - floor, times[name, "ours"] - floor) for name in cases}

    rows = {name: (round(peer), round(ours), f"{ours / peer:.3f}") for name, (peer, ours) in added.items()}
    shown = f"{title}: ns added to the bare application's {floor:.0f}" if floor else f"{title}: ns"
    table(f"CORSMiddleware, {shown}", ("Starlette", "CORSMiddleware", "ratio"), rows)
    return added


def _scopes(method: str, headers: str) -> Scopes:
    """Scopes of the clients in turn."""
    heads = []
    for client in CLIENTS:
        lines = [headers if name == "origin" else f"{name}:1" for name in client.split()]
        heads.append("\n".join(filter(None, lines)).encode().split(b"{}"))
    template = http_scope(method=method)
    # Not the number of the call, which begins anew in each turn; and not in the order of a list of origins.
    numbers = cycle([b"%d" % (number * 7_919 % NUMBERS) for number in range(NUMBERS)])

    def scope(number: int) -> dict[str, Any]:
        lines = next(numbers).join(heads[number % len(heads)]).split(b"\n")
        return {**template, "headers": [tuple(line.split(b":", 1)) for line in lines]}

    return scope


def _targets(actual: Mapping[str, Times], preflights: Times, never_seen: Times) -> None:
    """Print what is to be reached beside what is."""

    def ratio(times: Times, *cases: str) -> float:
        return max(ours / peer for peer, ours in (times[case] for case in cases))

    def reached(times: Times) -> list[float | str]:
        of_many = max(times[f"{which} of 10,000"][1] for which in ("the first", "the last", "each"))
        return [
            ratio(times, "no Origin"),
            ratio(times, "allowed", "allowed, credentials", "pattern / regex", "regex", "*"),
            ratio(times, "denied"),
            of_many / times["allowed"][1],
        ]

    what = {
        "no Origin / Starlette's, added": "0.30",
        "allowed / Starlette's, added": "0.30",
        "denied / Starlette's, added": "0.30",
        "one of 10,000 origins / the only one, added": "1.00",
    }
    columns = [reached(times) for times in actual.values()]
    rows = {name: [*cells, most] for (name, most), *cells in zip(what.items(), *columns, strict=True)}
    table("CORSMiddleware: ratios to reach", [*actual, "at most"], rows)

    hostile = ratio(preflights, *(case for case in preflights if case.startswith("64 KiB")))
    rows = {
        "a preflight / Starlette's": [ratio(preflights, "a method", "a header"), "0.25"],
        "ten headers / Starlette's": [ratio(preflights, "ten headers", "ten headers, credentials"), "0.25"],
        "denied / Starlette's": [ratio(preflights, "denied origin", "denied header"), "0.25"],
        "64 KiB of names / Starlette's": [f"{hostile:.3f}", "0.010"],
        "an origin of 64 KiB, regex / Starlette's, added": [f"{ratio(never_seen, '64 KiB, regex'):.3f}", "0.010"],
    }
    table("CORSMiddleware: ratios to reach, preflights and hostile requests", ("reached", "at most"), rows)
