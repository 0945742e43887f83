"""The template of the route that a request took, ``/items/{id}``: what a log or a metric can be grouped by.

Starlette, FastAPI and Litestar leave it in the scope; Django leaves nothing, so its URLconf is asked again.

Source: OpenTelemetry semantic conventions, ``http.route``: of low cardinality, with the application's root, never the
path itself.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .._asgi import TRAIL

if TYPE_CHECKING:
    from collections.abc import Mapping

DJANGO = "middleware.django"
"""Scope key: Django has begun to answer this request."""

_LEFT = frozenset(("app_root_path", "fastapi", "path_template", "route", DJANGO))
_BELOW_A_MOUNT = "/{path}"
_NAME = re.compile(r"\{([^\W\d]\w*)")


def route_of(scope: Mapping[str, Any]) -> str | None:
    """The template of the route of a request that is over, None if it is not known; never the path itself.

    It begins with the root path, in which values of parameters are replaced by their names. What a mount leads to that
    has no routes, such as static files, is ``/static/{path}``.

    Not known are: no route (404), Litestar's 405, what Litestar mounts, Litestar below a Starlette mount (it drops the
    mount's parameters), a root path with a parameter that is not found in exactly one segment. Give the parameters of
    a mount names that nothing below it uses: frameworks keep the last value only, and the first one stays in the route.

    Django's route is the one that ``ROOT_URLCONF`` gives for the path (an ``urlconf`` that a middleware has set on the
    request is not seen, nor is a language that is not in the path); path converters run once more. That of ``re_path``
    is the regular expression without its ``^``.

    Args:
        scope: The newest copy of the scope.
    """
    if scope.keys().isdisjoint(_LEFT):
        return None
    template = _below_root(scope)
    if not template:
        return None
    root = _root(scope, _NAME.findall(template))
    return None if root is None else root + template


def django_routes() -> None:
    """Have Django mark the scopes of its requests from now on, if it is imported; more than once is as good as once."""
    if "django" in sys.modules:
        from django.core.signals import request_started

        request_started.connect(_mark, weak=False, dispatch_uid=DJANGO)


def _mark(**signal: Any) -> None:
    # Plain: Django has plain receivers of this signal anyway and calls all of them in one thread.
    scope = signal.get("scope")
    trail = scope.get(TRAIL) if isinstance(scope, dict) else None
    if scope and trail and scope.get("path") == trail[0].get("path"):  # else it is a request of the application's own
        scope[DJANGO] = True
        trail[0] = scope  # it may be a copy that another library made


def _below_root(scope: Mapping[str, Any]) -> str | None:
    if "path_template" in scope:  # empty for what Litestar mounts
        return None if "app_root_path" in scope else _text(scope["path_template"])
    if DJANGO in scope:
        return _of_django(scope)
    fastapi = scope.get("fastapi")
    context = fastapi.get("effective_route_context") if isinstance(fastapi, dict) else None
    # The route of a router that FastAPI >= 0.137 includes has only the last part of its path.
    included = getattr(context, "starlette_route", None) or context
    return _of_leaf(included) or _of_leaf(scope.get("route")) or (_BELOW_A_MOUNT if "app_root_path" in scope else None)


def _of_leaf(route: Any) -> str | None:
    """The template of a route of Starlette or FastAPI; that of a mount is in the root path already."""
    if hasattr(route, "routes"):
        return None
    return _text(getattr(route, "path_format", None)) or _text(getattr(route, "path", None))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _of_django(scope: Mapping[str, Any]) -> str | None:
    from django.conf import settings
    from django.conf.urls.i18n import is_language_prefix_patterns_used
    from django.urls import get_resolver
    from django.utils import translation

    try:
        path = scope["path"].removeprefix(settings.FORCE_SCRIPT_NAME or scope.get("root_path") or "")
        if is_language_prefix_patterns_used(settings.ROOT_URLCONF)[0]:
            with translation.override(translation.get_language_from_path(path) or settings.LANGUAGE_CODE):
                route = get_resolver().resolve(path).route
        else:  # to activate a language would read its catalogue
            route = get_resolver().resolve(path).route
    except Exception:  # Resolver404, and whatever the project's URLconf and converters raise: the request met it too
        return None
    return "/" + route.removeprefix("^")


def _root(scope: Mapping[str, Any], names: list[str]) -> str | None:
    """The root path with the names of the parameters in it, None if one is not found; ``names`` stand below it."""
    root: str = scope.get("root_path") or ""
    segments = root.rstrip("/").split("/")
    if len(segments) == 1:
        return ""
    # Of this package's routers, which keep their parameters where neither Litestar nor a route overwrites them.
    routed = _dict(_dict(scope.get("url_route")).get("kwargs")).items()
    mounted = [item for item in _dict(scope.get("path_params")).items() if item[0] not in names and item not in routed]
    for name, value in (*routed, *mounted):
        places = [place for place, segment in enumerate(segments) if place and _is_value(segment, value)]
        if len(places) != 1:
            return None
        segments[places[0]] = f"{{{name}}}"
    return "/".join(segments)


def _is_value(segment: str, value: Any) -> bool:
    kind = type(value)
    if kind in (int, float, UUID):  # one value can be written in many ways: 7, 007
        try:
            return bool(kind(segment) == value)
        except ValueError:
            return False
    return bool(segment == value)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
