"""The applications that a router is given, objects or ``"module:attribute"`` strings, and the one for nobody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal, NamedTuple

from .._asgi import ASGIApp, application_problem, is_get_response, refuse_websocket
from .._errors import Problem, refuse, shown

Choice = ASGIApp | Literal["lazy", False] | None
"""What ``lifespan=`` can ask for."""

_MISSING: Any = object()
_FORM = "write 'module:attribute', e.g. 'chat.sockets:application'"


class Keys(NamedTuple):
    """The keys of a router's mapping.

    Args:
        owner: The class of the router.
        parameter: The mapping's name.
        meaning: What the keys are, for an error text: "scope types".
        example: A right router, for an error text.
        problem: What is wrong with a key, from the parameter and the key.
        canonical: What is the same for two keys that mean the same.
    """

    owner: str
    parameter: str
    meaning: str
    example: str
    problem: Callable[[str, Any], Problem | None]
    canonical: Callable[[str], Any] = str

    def listed(self, mapping: object, problems: list[Problem]) -> dict[str, Any]:
        """The entries of ``mapping`` whose keys are right; what is wrong is added to ``problems``."""
        if not isinstance(mapping, Mapping):
            in_settings = application_problem(self.parameter, mapping) if is_get_response(mapping) else None
            reason = f"is not a mapping of {self.meaning} to applications"
            problems.append(in_settings or Problem(self.parameter, mapping, reason, f"write {self.example}"))
            return {}
        entries: dict[str, Any] = {}
        known: dict[Any, str] = {}
        for key, app in mapping.items():
            problem = self.problem(self.parameter, key)
            if problem is None:
                first = known.setdefault(self.canonical(key), key)
                if first == key:
                    entries[key] = app
                    continue
                problem = Problem(self.parameter, key, f"means the same as {first!r}", "keep one of them")
            problems.append(problem)
        return entries

    def load(self, mapping: object, problems: list[Problem]) -> dict[str, ASGIApp]:
        """The applications of ``mapping``, with all that is wrong added to ``problems``."""
        entries = self.listed(mapping, problems)
        return {key: load_application(f"{self.parameter}[{shown(key)}]", entries[key], problems) for key in entries}

    def configured(
        self, mapping: object, default: ASGIApp | str | None, lifespan: Choice | str
    ) -> tuple[dict[str, ASGIApp], ASGIApp, Choice]:
        """The applications of ``mapping``, the default (or what turns connections away), what ``lifespan=`` asks for.

        Raises:
            ConfigurationError: If anything is wrong with them, or there is no application.
        """
        problems: list[Problem] = []
        apps = self.load(mapping, problems)
        turned_away = turning_away(lambda: f" among the {self.meaning}; give a default")
        default_app = turned_away if default is None else load_application("default", default, problems)
        if not apps and default is None and not problems:
            reason = "leaves the router without any application"
            problems.append(Problem(self.parameter, None, reason, f"write {self.example}"))
        chosen = load_lifespan(lifespan, problems)
        refuse(self.owner, problems)
        return apps, default_app, chosen


def load_application(parameter: str, value: ASGIApp | str, problems: list[Problem]) -> ASGIApp:
    """Return the application that ``value`` is or names; what is wrong with it is added to ``problems``.

    Raises:
        Exception: Whatever the user's own module raises while it is imported.
    """
    app, problem = _imported(parameter, value) if isinstance(value, str) else (value, None)
    problem = problem or application_problem(parameter, app)
    if problem:
        problems.append(problem._replace(value=value))
    return app


def load_lifespan(value: Choice | str, problems: list[Problem]) -> Choice:
    """Return what ``lifespan=`` asks for, the application loaded; what is wrong with it is added to ``problems``."""
    if value is None or value is False:
        return value
    if isinstance(value, str) and value == "lazy":
        return "lazy"
    app = load_application("lifespan", value, problems)
    if problems and problems[-1].parameter == "lifespan":
        problems[-1] = problems[-1]._replace(remedy=f"{problems[-1].remedy}, or write 'lazy', False or nothing")
    return app


def _imported(parameter: str, path: str) -> tuple[Any, Problem | None]:
    module_name, colon, attribute = path.partition(":")
    if not (colon and all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")])):
        return None, Problem(parameter, path, "does not name an application", _FORM)
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is missing inside the user's module is the user's traceback, not ours.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        return None, Problem(
            parameter, path, f"names a module that does not exist: {error.name!r}", f"correct the path, or {_FORM}"
        )
    for name in attribute.split("."):
        inner = getattr(found, name, _MISSING)
        if inner is _MISSING:
            close = get_close_matches(name, dir(found), n=1)
            remedy = f"did you mean {close[0]!r}?" if close else "define it there, above where the router is made"
            return None, Problem(parameter, path, f"names what does not exist: {shown(found)} has no {name!r}", remedy)
        found = inner
    return found, None


def turning_away(reason: Callable[[], str]) -> ASGIApp:
    """An application that refuses every connection as its protocol does that.

    Args:
        reason: Makes the text of the error for a scope type that has no refusal, read after "scope type 'x': ".
    """

    async def turn_away(scope: Any, receive: Any, send: Any) -> None:
        protocol = scope.get("type")
        if protocol == "http":
            body = b"Not Found"
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            # RFC 9110 §9.3.2: the headers of GET, without its content.
            await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
        elif protocol == "websocket":
            await refuse_websocket(receive, send)
        else:
            raise ValueError(f"no application for scope type {protocol!r}{reason()}")

    return turn_away
