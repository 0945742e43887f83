"""Django's session and user for applications that are not Django: the websockets beside it.

Who logged in with Django's own views is known there too, without Channels.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from .._asgi import application_problem, call_with_copy
from .._errors import Problem, refuse
from .._headers import values
from .cookies import varying
from .store import SessionStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._asgi import ASGIApp
    from .._headers import Headers

    Data = dict[str, Any]

_logger = logging.getLogger("middleware.sessions")


class DjangoSessionMiddleware:
    """Put Django's session and the user who is logged in into the scope, as ``session`` and ``user``.

    Both are loaded when a request or websocket comes: ``scope["session"]`` is a session of ``SESSION_ENGINE``, empty if
    the cookie is none of Django's; ``scope["user"]`` is there if ``django.contrib.auth`` is installed, an
    ``AnonymousUser`` if nobody is logged in. A password change ends the login here as it does in Django. What was
    changed in a session is saved when the application returns; a new one cannot be begun here, since Django sets the
    cookie.

    Wrap the application that stands beside Django, not Django itself.

    Args:
        app: The ASGI application to wrap.

    Raises:
        ConfigurationError: If ``app`` is not an application, or Django is not installed.
        SessionStoreError: On trio, if a session cookie comes.
    """

    __slots__ = ("app",)

    def __init__(self, app: ASGIApp) -> None:
        problem = None
        try:
            import_module("django")
        except ImportError:
            problem = Problem("app", app, "cannot have Django's sessions: Django is not installed", "install django")
        refuse("DjangoSessionMiddleware", [application_problem("app", app), problem])
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        def sending(message: Any) -> Any:
            if message["type"] == "http.response.start":
                message = {**message, "headers": varying(message.get("headers") or ())}
            return send(message)

        keys = await _with_session(scope.get("headers") or ())
        session = keys["session"]
        key, before = session.session_key, copy.deepcopy(_data(session))
        try:
            if scope.keys() & keys.keys():
                await call_with_copy(self.app, scope, {**scope, **keys}, receive, sending)
            else:
                for name, value in keys.items():
                    scope[name] = value
                await self.app(scope, receive, sending)
        except Exception:
            try:
                await _keep(session, key, before)
            except Exception:
                _logger.exception("a session of Django's could not be saved after the application had failed")
            raise
        await _keep(session, key, before)


class _Login(dict[str, Any]):
    """What Django may read of a session to find the user; what it would do to the session needs another cookie."""

    def cycle_key(self) -> None: ...

    def flush(self) -> None:
        self.clear()


async def _with_session(headers: Headers) -> dict[str, Any]:
    """The keys of the scope of a request. Without a cookie nothing is asked of the database."""
    # Django can be imported when its settings are there, which is later than this package.
    from django.conf import settings
    from django.http import parse_cookie

    cookies = parse_cookie(b"; ".join(values(headers, b"cookie")).decode("latin-1"))
    cookie = cookies.get(settings.SESSION_COOKIE_NAME)
    return await _in_djangos_thread(_load, cookie) if cookie else _find(None)


async def _keep(session: Any, key: str | None, before: Data) -> None:
    if session.modified:
        await _in_djangos_thread(_save, session, key, before)


async def _in_djangos_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise SessionStoreError("Django's sessions need asyncio: they cannot be read on trio") from None
    return await sync_to_async(function)(*arguments)


def _data(session: Any) -> Data:
    """What is in a session, without a question to the database for one that is new."""
    return dict(session.items()) if session.session_key else {}


def _load(cookie: str) -> dict[str, Any]:
    from django.db import close_old_connections

    close_old_connections()
    try:
        return _find(cookie)
    finally:
        close_old_connections()


def _find(cookie: str | None) -> dict[str, Any]:
    """The session of the cookie, and the user who is logged in with it."""
    from django.apps import apps
    from django.conf import settings

    engine = import_module(settings.SESSION_ENGINE)
    session = engine.SessionStore(cookie)
    if cookie and not session.keys():
        session = engine.SessionStore()
    keys = {"session": session}
    if apps.is_installed("django.contrib.auth"):
        from django.contrib.auth import get_user
        from django.contrib.auth.models import AnonymousUser

        login = _Login(_data(session))
        keys["user"] = get_user(SimpleNamespace(session=login)) if login else AnonymousUser()  # type: ignore[arg-type]
        if _data(session) and not login:
            keys["session"] = session = engine.SessionStore()  # the password was changed: nobody is logged in
    return keys


def _save(session: Any, key: str | None, before: Data) -> None:
    """Save what changed in a session, by its key and its data as loaded; leave alone what others saved meanwhile."""
    from django.contrib.sessions.backends.base import UpdateError
    from django.db import close_old_connections

    data = dict(session.items())
    try:
        is_lost = key is None or session.session_key != key
        if not is_lost:
            newest = type(session)(key)
            current = newest.keys()
            if not newest.session_key:
                raise UpdateError
            for name in (before.keys() - data.keys()) & current:
                del newest[name]
            newest.update({name: value for name, value in data.items() if name not in before or before[name] != value})
            newest.save()
            is_lost = newest.session_key != key
        if is_lost and data:
            _logger.warning("what was written to a session of Django's is lost: only Django sets its cookie")
    except UpdateError:
        _logger.warning("a session of Django's had ended before what was written to it could be saved")
    finally:
        close_old_connections()
