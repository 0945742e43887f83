"""The applications that a router is given: objects, or ``"module:attribute"`` strings that it imports."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from .._asgi import ASGIApp, application_problem
from .._errors import Problem, shown

_MISSING: Any = object()
_FORM = "write 'module:attribute', e.g. 'chat.sockets:application'"


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
