"""From the words of the user to a keeper of sessions, or to all that is wrong with them."""

from __future__ import annotations

import inspect
import logging
import re
from typing import Any

from starlette.datastructures import Secret

from .._asgi import application_problem
from .._errors import Problem, check_flag, listed, refuse
from .._headers import is_token
from .cookies import Cookie
from .keepers import CookieKeeper, StoreKeeper
from .lifetimes import LONGEST, Lifetimes
from .tokens import EncryptedTokens, SignedTokens, StarletteTokens

_logger = logging.getLogger("middleware.sessions")
_VERBS = ("load", "save", "delete", "touch")
_PATH = re.compile(r"/[!-:<-~]*")
_DOMAIN = re.compile(r"\.?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
_IDLE = 14 * 86_400  # seconds, for cookies that last as long as the browser runs
_ENOUGH = 32  # bytes of a secret
_RANDOM = "write 32 random bytes in hexadecimal, or Django's SECRET_KEY"


def keeper_of(app: object, **given: Any) -> CookieKeeper | StoreKeeper:
    """The keeper that the keywords of ``SessionMiddleware`` describe; ConfigurationError if something is wrong."""
    problems: list[Problem] = []
    keys = _keys(given, problems)
    cookie = _cookie(given, problems)
    lifetimes = _lifetimes(given, problems)
    for name in ("encrypt", "accept_starlette_cookies"):
        check_flag(name, given[name], problems)
    store, scope_key = given["store"], given["scope_key"]
    if not isinstance(scope_key, str) or not scope_key:
        problems.append(Problem("scope_key", scope_key, "is not a key of the scope", "write 'session' or leave it out"))
    if store is not None:
        _check_store(store, given, problems)
    tokens = None
    if store is None and not problems:
        try:
            tokens = (EncryptedTokens if given["encrypt"] is True else SignedTokens)(keys, given["session_cookie"])
        except ImportError:
            remedy = "run: pip install 'asgi-middleware[crypto]'"
            problems.append(Problem("encrypt", True, "needs cryptography, which is not installed", remedy))
    problems.sort(key=lambda problem: [*given].index(problem.parameter))
    refuse("SessionMiddleware", [application_problem("app", app), *problems])

    if tokens is None:
        return StoreKeeper(cookie, lifetimes, store)
    if len(keys[0].encode()) < _ENOUGH:
        _logger.warning("secret_key has fewer than %s bytes: somebody may guess it and sign cookies", _ENOUGH)
    starlettes = StarletteTokens(keys)
    if given["accept_starlette_cookies"]:
        return CookieKeeper(cookie, lifetimes, tokens, former=starlettes)
    return CookieKeeper(cookie, lifetimes, tokens, foreign=starlettes)


def _keys(given: dict[str, Any], problems: list[Problem]) -> list[str]:
    """The secrets, the newest first."""
    keys: list[tuple[str, Any]] = []
    if given["secret_key"] is None and given["store"] is None:
        problems.append(Problem("secret_key", None, "is not given, and there is no store", _RANDOM))
    elif given["secret_key"] is not None:
        keys.append(("secret_key", given["secret_key"]))
    former = listed("secret_key_fallbacks", given["secret_key_fallbacks"], problems)
    keys += [("secret_key_fallbacks", key) for key in former]
    for name, key in keys:
        if not isinstance(key, str | Secret) or not str(key):
            problems.append(Problem(name, "…", "is not a string with something in it", _RANDOM))
    return [str(key) for _, key in keys]


def _cookie(given: dict[str, Any], problems: list[Problem]) -> Cookie:
    def problem(name: str, reason: str, remedy: str) -> None:
        problems.append(Problem(name, given[name], reason, remedy))

    name, path, domain, https_only = (given[key] for key in ("session_cookie", "path", "domain", "https_only"))
    if not isinstance(name, str) or not name.isascii() or not is_token(name.encode()):
        problem("session_cookie", "is not the name of a cookie", "write 'session'")
        name = ""
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        problem("path", "is not a path of a cookie", "write '/'")
    if given["same_site"] not in ("lax", "strict", "none"):
        problem("same_site", "is none of 'lax', 'strict' and 'none'", "write one of them")
    if domain is not None and not (isinstance(domain, str) and _DOMAIN.fullmatch(domain)):
        problem("domain", "is not a domain", "write 'example.com', or leave it out for this host alone")
    if not isinstance(https_only, bool) and https_only != "auto":
        problem("https_only", "is neither True, False nor 'auto'", "leave it out")
    check_flag("partitioned", given["partitioned"], problems)

    prefix = name.lower().partition("-")[0] if name.startswith("__") else ""
    secure = prefix in ("__host", "__secure") or given["same_site"] == "none" or given["partitioned"] is True
    if secure and https_only is False:
        why = "session_cookie='__...'" if prefix else "partitioned=True" if given["partitioned"] else "same_site='none'"
        problem("https_only", f"with {why} makes a cookie that browsers drop", "leave it out")
    if prefix == "__host" and domain is not None:
        problem("domain", "with a cookie '__Host-...' makes one that browsers drop", "leave it out")
    if prefix == "__host" and path != "/":
        problem("path", "with a cookie '__Host-...' makes one that browsers drop", "write '/'")
    reach = f"; domain={domain}" * (domain is not None) + "; partitioned" * (given["partitioned"] is True)
    always = {True: True, False: False}.get(https_only)
    return Cookie(name, path, given["same_site"], secure or always, reach)


def _lifetimes(given: dict[str, Any], problems: list[Problem]) -> Lifetimes:
    for name in ("max_age", "idle_timeout", "absolute_timeout"):
        seconds = given[name]
        if seconds is None:
            continue
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
            problems.append(Problem(name, seconds, "is not a number of seconds", "write one, or None"))
        elif name == "max_age" and seconds > LONGEST:
            reason = "is longer than browsers keep a cookie, which is 400 days"
            problems.append(Problem(name, seconds, reason, f"write {LONGEST} or less"))
    max_age, idle, absolute = given["max_age"], given["idle_timeout"], given["absolute_timeout"]
    if problems:
        return Lifetimes(None, _IDLE, None)
    if idle and absolute and idle > absolute:
        problems.append(Problem("idle_timeout", idle, f"is longer than absolute_timeout={absolute}", "write less"))
    return Lifetimes(max_age, min(filter(None, (idle, max_age)), default=_IDLE), absolute)


def _check_store(store: object, given: dict[str, Any], problems: list[Problem]) -> None:
    lacking = [verb for verb in _VERBS if not inspect.iscoroutinefunction(getattr(store, verb, None))]
    if inspect.isclass(store) or lacking:
        reason = "is a class" if inspect.isclass(store) else f"has no async {', '.join(lacking)}"
        problems.append(
            Problem("store", store, reason, "pass a store: MemoryStore(), SQLiteStore(...), RedisStore(...)")
        )
    reason = "is for data in cookies, and store is given"
    named = [name for name in ("encrypt", "accept_starlette_cookies") if given[name] is True]
    problems += [Problem(name, True, reason, "leave it out") for name in named]
