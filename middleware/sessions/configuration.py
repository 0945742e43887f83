"""From the words of the user to a keeper of sessions, or to all that is wrong with them."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Collection, Mapping
from typing import Any

from starlette.datastructures import Secret

from .._asgi import application_problem
from .._errors import Problem, check_flag, refuse
from .._headers import is_token
from .cookie_keeper import CookieKeeper
from .cookies import Cookie
from .lifetimes import LONGEST, Lifetimes
from .store_keeper import StoreKeeper
from .tokens import EncryptedTokens, SignedTokens, StarletteTokens

_logger = logging.getLogger("middleware.sessions")
_TAKEN = frozenset(  # ASGI HTTP & WebSocket 2.5
    (
        *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path"),
        *("headers", "client", "server", "state", "extensions", "subprotocols"),
    )
)
_HIDDEN = "…"
_PREFIXES = ("__host-", "__http-", "__secure-")  # RFC 6265bis §4.1.3
_VERBS = ("load", "save", "delete", "touch")
_PATH = re.compile(r"/[!-:<-~]*")
_DOMAIN = re.compile(r"\.?[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")
_IDLE = 14 * 86_400  # seconds, for cookies that last as long as the browser runs
_CENTURY = 100 * 365 * 86_400  # seconds
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
    if not isinstance(scope_key, str) or not scope_key or scope_key in _TAKEN:
        problems.append(Problem("scope_key", scope_key, "is not a key of the scope", "write 'session' or leave it out"))
    if store is not None:
        _check_store(store, given, problems)
    elif given["encrypt"] is True and not _can_encrypt():
        remedy = "run: pip install 'asgi-middleware[crypto]'"
        problems.append(Problem("encrypt", True, "needs cryptography, which is not installed", remedy))
    problems.sort(key=lambda problem: [*given].index(problem.parameter))
    refuse("SessionMiddleware", [application_problem("app", app), *problems])

    if store is not None:
        return StoreKeeper(cookie, lifetimes, store)
    if len(keys[0].encode()) < _ENOUGH:
        _logger.warning("secret_key has fewer than %s bytes: somebody may guess it and sign cookies", _ENOUGH)
    tokens = (EncryptedTokens if given["encrypt"] else SignedTokens)(keys, given["session_cookie"])
    starlettes = StarletteTokens(keys)
    if given["accept_starlette_cookies"]:
        return CookieKeeper(cookie, lifetimes, tokens, former=starlettes)
    return CookieKeeper(cookie, lifetimes, tokens, foreign=starlettes)


def _can_encrypt() -> bool:
    try:
        EncryptedTokens(("",), "")
    except ImportError:
        return False
    return True


def _keys(given: dict[str, Any], problems: list[Problem]) -> list[str]:
    """The secrets, the newest first. No problem shows what was given: it may be a secret in a wrong place."""
    keys: list[tuple[str, Any]] = []
    if given["secret_key"] is None and given["store"] is None:
        problems.append(Problem("secret_key", None, "is not given, and there is no store", _RANDOM))
    elif given["secret_key"] is not None:
        keys.append(("secret_key", given["secret_key"]))
    former = () if given["secret_key_fallbacks"] is None else given["secret_key_fallbacks"]
    if not isinstance(former, Collection) or isinstance(former, str | bytes | Mapping):
        problems.append(Problem("secret_key_fallbacks", _HIDDEN, "is not a list", "write secret_key_fallbacks=[...]"))
        former = ()
    keys += [("secret_key_fallbacks", key) for key in former]
    for name, key in keys:
        if not isinstance(key, str | Secret) or not str(key) or not _is_encodable(str(key)):
            problems.append(Problem(name, _HIDDEN, "is not a string with something in it", _RANDOM))
    return [str(key) for _, key in keys]


def _is_encodable(key: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in key)


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

    is_host, is_prefixed = name.lower().startswith("__host-"), name.lower().startswith(_PREFIXES)
    secure = is_prefixed or given["same_site"] == "none" or given["partitioned"] is True
    if secure and https_only is False:
        reasons = {"session_cookie='__...'": is_prefixed, "partitioned=True": given["partitioned"]}
        why = next((reason for reason, holds in reasons.items() if holds), "same_site='none'")
        problem("https_only", f"with {why} makes a cookie that browsers drop", "leave it out")
    if is_host and domain is not None:
        problem("domain", "with a cookie '__Host-...' makes one that browsers drop", "leave it out")
    if is_host and path != "/":
        problem("path", "with a cookie '__Host-...' makes one that browsers drop", "write '/'")
    reach = f"; domain={domain}" * (domain is not None) + "; partitioned" * (given["partitioned"] is True)
    return Cookie(
        name, path, given["same_site"], True if secure else None if https_only == "auto" else https_only, reach
    )


def _lifetimes(given: dict[str, Any], problems: list[Problem]) -> Lifetimes:
    seconds = {name: given[name] for name in ("max_age", "idle_timeout", "absolute_timeout")}
    for name, value in seconds.items():
        if value is None:
            continue
        reason = remedy = ""
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _CENTURY:
            reason, remedy = "is not a number of seconds", "write one, or None"
        elif name == "max_age" and value > LONGEST:
            reason, remedy = "is longer than browsers keep a cookie, which is 400 days", f"write {LONGEST} or less"
        if reason:
            problems.append(Problem(name, value, reason, remedy))
            seconds[name] = None
    max_age, idle, absolute = seconds.values()
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
