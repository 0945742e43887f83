"""From the words of the user to a policy, or to all that is wrong with them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from .._errors import Problem, check_flag, listed
from .._headers import is_token
from .._paths import PrefixTable, prefix_problem
from .origins import LOOPBACK, Origins, as_browsers_write, origin_problem, parse_pattern
from .policy import Policy

_NORMALIZED = ("DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT")  # Fetch §2.2.1: whatever their case
_FORBIDDEN_METHODS = ("CONNECT", "TRACE", "TRACK")
_FORBIDDEN_HEADERS = re.compile(  # Fetch §2.2.2
    "accept-(charset|encoding)|connection|content-length|cookie2?|date|dnt|expect|host|keep-alive|origin|referer|"
    "set-cookie|te|trailer|transfer-encoding|upgrade|via|(proxy|sec)-.*"
)
_UNESCAPED_DOT = re.compile(r"(?<!\\)\.(?![*+?{])(?=[\w(])")
_EAVESDROPPER = "lets in whoever stands between the browser and that site"
_NEIGHBOUR = "lets in everybody who has a name there"
_STRANGERS = (
    *("evil.example", "evil.com", "evil.org", "evil.net", "evil.io", "evil.dev", "a.evil.example"),
    *("a.b.evil.example", "a.b.c.evil.example", "a-very-long-name-of-evil.example", "evileviledevil.com"),
    "evil.example:8443",
)
_LONGEST_AGE = 86400  # Firefox; Chromium 7200, WebKit 600


def policy_of(problems: list[Problem], *, insecure: bool, **given: Any) -> Policy:
    """The policy that the keywords of ``CORSMiddleware`` describe; what is wrong is added to ``problems``."""
    found = len(problems)
    origins = load_origins("allow_origins", given["allow_origins"], problems)
    regex = _regex(given["allow_origin_regex"], problems)
    func: Any = given["allow_origin_func"]
    if func is not None and not callable(func):
        problems.append(
            Problem("allow_origin_func", func, "is not a function", "pass one: async def allow(origin, scope)")
        )
    if given["allow_origins"] is None and regex is None and func is None and len(problems) == found:
        reason = "is not given, and neither are allow_origin_regex and allow_origin_func: nobody would be allowed"
        remedy = "write allow_origins=['https://app.example.com'], or [] if that is meant"
        problems.append(Problem("allow_origins", None, reason, remedy))
    methods = _methods(given["allow_methods"], problems)
    headers = _headers("allow_headers", given["allow_headers"], problems)
    exposed = _headers("expose_headers", given["expose_headers"], problems)
    credentials = given["allow_credentials"]
    for name in ("allow_credentials", "allow_private_network"):
        check_flag(name, given[name], problems)
    if credentials is True:
        problems += _credential_problems(origins, regex, exposed, insecure)
    age = given["max_age"]
    if age is not None and (not isinstance(age, int) or isinstance(age, bool) or not 0 <= age <= _LONGEST_AGE):
        reason = f"is not a whole number of seconds from 0 to {_LONGEST_AGE}"
        problems.append(Problem("max_age", age, reason, "write one, or None for the browser's own default"))
    if len(problems) > found:
        return Policy()
    private = given["allow_private_network"]
    return Policy(origins, regex, given["allow_origin_func"], methods, headers, credentials, private, exposed, age)


def load_origins(parameter: str, given: object, problems: list[Problem]) -> Origins:
    """The set of origins that a parameter lists; what is wrong with it is added to ``problems``."""
    entries = listed(parameter, given, problems)
    right = []
    for entry in entries:
        problem = origin_problem(parameter, entry)
        if problem is None and entry == "*" and len(entries) > 1:
            problem = Problem(parameter, entry, "allows every origin, and others are listed", "write one or the other")
        if problem is None:
            right.append(entry)
        else:
            problems.append(problem)
    return Origins(tuple(dict.fromkeys(right)))


def load_prefixes(parameter: str, given: object, problems: list[Problem]) -> PrefixTable[bool] | None:
    """The table of the path prefixes that a parameter lists, None for all paths."""
    prefixes = listed(parameter, given, problems)
    found = [problem for prefix in prefixes if (problem := prefix_problem(parameter, prefix))]
    problems += found
    return None if given is None or found else PrefixTable((prefix, True) for prefix in prefixes)


def _methods(given: object, problems: list[Problem]) -> tuple[str, ...]:
    methods = []
    for method in listed("allow_methods", given, problems):
        upper = method.upper() if isinstance(method, str) else ""
        if not (isinstance(method, str) and method.isascii() and is_token(method.encode())):
            problems.append(Problem("allow_methods", method, "is not a method", "write 'GET', 'PUT', … or '*'"))
        elif upper in _FORBIDDEN_METHODS:
            problems.append(Problem("allow_methods", method, "is a method that no page can use", "leave it out"))
        elif upper == "PATCH" != method:
            problems.append(Problem("allow_methods", method, "is not the same method as 'PATCH'", "write 'PATCH'"))
        else:
            methods.append(upper if upper in _NORMALIZED else method)
    return tuple(dict.fromkeys(methods))


def _headers(parameter: str, given: object, problems: list[Problem]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for name in listed(parameter, given, problems):
        lowered = name.lower() if isinstance(name, str) else ""
        if not (isinstance(name, str) and name.isascii() and is_token(name.encode())):
            problems.append(Problem(parameter, name, "is not the name of a header", "write 'X-Name' or '*'"))
        elif lowered.startswith("access-control-"):
            problems.append(Problem(parameter, name, "belongs to CORS itself", "leave it out"))
        elif parameter == "expose_headers" and lowered in ("set-cookie", "set-cookie2"):
            problems.append(Problem(parameter, name, "is never shown to a page", "leave it out"))
        elif parameter == "allow_headers" and _FORBIDDEN_HEADERS.fullmatch(lowered):
            remedy = "write allow_credentials=True for cookies" if lowered == "cookie" else "leave it out"
            problems.append(Problem(parameter, name, "is a header that the browser sets and no page can", remedy))
        else:
            names[name] = None
    return tuple(names)


def _regex(given: object, problems: list[Problem]) -> re.Pattern[str] | None:
    if given is None:
        return None
    remedy = r"write a string such as r'https://.*\.example\.com'"
    if not isinstance(given, str | re.Pattern) or isinstance(getattr(given, "pattern", ""), bytes):
        problems.append(Problem("allow_origin_regex", given, "is not a regular expression", remedy))
        return None
    try:
        regex: re.Pattern[str] = re.compile(given)
    except (re.error, OverflowError, RecursionError) as error:
        problems.append(Problem("allow_origin_regex", given, f"is not a regular expression: {error}", remedy))
        return None
    if re.search(r"[+*}]\)[+*{]", regex.pattern):
        reason = "repeats what repeats itself, which can take for ever"
        problems.append(Problem("allow_origin_regex", regex.pattern, reason, "repeat one of the two"))
        return None
    return regex


def _credential_problems(
    origins: Origins, regex: re.Pattern[str] | None, exposed: tuple[str, ...], insecure: bool
) -> list[Problem]:
    """With credentials, whoever is allowed acts as the user who is logged in."""
    problems = []

    def problem(parameter: str, value: object, reason: str, remedy: str) -> None:
        problems.append(Problem(parameter, value, reason, remedy))

    if origins.any:
        remedy = "list the origins, or write allow_origin_func for those in a database"
        problem("allow_origins", "*", "with allow_credentials=True lets every site act as the user", remedy)
    if "*" in exposed:
        problem("expose_headers", "*", "with allow_credentials=True is taken literally by browsers", "list the names")
    if regex is not None:
        problems += regex_problems(regex, insecure)
    for entry in origins.entries if not insecure else ():
        pattern = parse_pattern(entry)
        if pattern is None:
            continue
        if pattern.scheme == "http" and not pattern.is_loopback:
            remedy = f"write {as_browsers_write(f'https{entry[4:]}') or entry!r}, or allow_insecure_origins=True"
            problem("allow_origins", entry, f"with allow_credentials=True {_EAVESDROPPER}", remedy)
        if pattern.host.startswith(".") and _is_public_suffix(pattern.host[1:]):
            remedy = "list the origins, or write allow_insecure_origins=True"
            problem("allow_origins", entry, f"with allow_credentials=True {_NEIGHBOUR}", remedy)
    return problems


def regex_problems(regex: re.Pattern[str], insecure: bool) -> list[Problem]:
    """Who is let in by a regular expression and should not act as the user who is logged in.

    It is tried on names that anybody can register, made of nothing and of the literals in it.
    """

    def problem(reason: str, remedy: str) -> list[Problem]:
        return [Problem("allow_origin_regex", regex.pattern, f"with allow_credentials=True {reason}", remedy)]

    source = re.sub(r"\\[A-Za-z]|\[[^]]*\]", " ", regex.pattern.replace("[.]", r"\."))
    found = re.findall(r"(?:[\w-]|\\[.-])+", source)
    literals = [literal.replace("\\", "") for literal in found if literal not in ("http", "https", "s")]
    strangers = [*_STRANGERS, *(f"{one.rstrip('.')}.{name}" for one in literals for name in _STRANGERS[:2])]
    if any(regex.fullmatch(f"{scheme}://{host}") for scheme in ("https", "http") for host in strangers):
        return problem("lets every site in", r"name the host: r'https://.*\.example\.com'")
    if _UNESCAPED_DOT.search(re.sub(r"\[[^]]*\]", "", regex.pattern)):
        escaped = _UNESCAPED_DOT.sub(r"\\.", regex.pattern)
        return problem("lets in whoever registers a name with another character for a dot", f"write r'{escaped}'")
    pairs = [one + other for number, one in enumerate(literals) for other in ["", *literals[number + 1 : number + 4]]]
    hosts = [host.lstrip(".") for host in pairs if "." in host]
    ports = ["", ":8443", *(f":{literal}" for literal in literals if literal.isdigit())]
    for host in hosts:
        if host.count(".") > 1 and not _is_public_suffix(host.partition(".")[2]):
            continue  # it is below a name that somebody has
        if any(regex.fullmatch(f"{scheme}://evil{host}{port}") for scheme in ("https", "http") for port in ports):
            return problem(f"lets in 'evil{host}' too", r"put a dot in front of the name: r'\.example\.com'")
    for host in hosts if not insecure else ():
        names = () if LOOPBACK.fullmatch(host) else (host, f"a.{host}")
        if any(regex.fullmatch(f"http://{name}{port}") for name in names for port in ports):
            return problem(_EAVESDROPPER, "write 'https' for 'https?' and 'http', or allow_insecure_origins=True")
        if any(regex.fullmatch(f"https://a.{host}{port}") for port in ports) and _is_public_suffix(host):
            return problem(_NEIGHBOUR, "list the origins, or write allow_insecure_origins=True")
    return []


def _is_public_suffix(host: str) -> bool:
    try:
        from publicsuffixlist import PublicSuffixList  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # the extra `psl` only adds refusals
        return False
    return bool(_loaded(PublicSuffixList).is_public(host.removesuffix(".")))


@cache
def _loaded(cls: Any) -> Any:
    return cls(accept_unknown=False)
