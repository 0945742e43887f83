"""Who is logged in, by what frameworks leave in the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._asgi import Scope

_NAMES = ("display_name", "username", "identity", "name", "email")


def user_of(scope: Scope) -> str | None:
    """The name of ``scope["user"]`` if there is one and it is authenticated (Starlette, Litestar, Channels, Django).

    A lazy user that nobody has asked for stays unasked: it could need a database.
    """
    user = _asked(scope.get("user"))
    if isinstance(user, str):
        return user or None
    if user is None or getattr(user, "is_authenticated", True) is not True:
        return None
    get_username = getattr(user, "get_username", None)  # Django's, whatever its field is called
    names = [get_username()] if callable(get_username) else (getattr(user, name, None) for name in _NAMES)
    return next((name for name in names if isinstance(name, str) and name), None)


def _asked(user: Any) -> Any:
    """What a lazy object of Django's holds, None if that is not there yet; other objects as they are."""
    for cls in type(user).__mro__:
        if cls.__module__ == "django.utils.functional" and cls.__name__ == "LazyObject":
            # No public name tells whether it was asked, and every other access asks.
            held = object.__getattribute__(user, "__dict__").get("_wrapped")
            return None if type(held) is object else held
    return user
