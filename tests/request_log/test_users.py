"""Who is logged in, by the users of Starlette, Django and Channels, without a question to any database."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.authentication import SimpleUser, UnauthenticatedUser

from middleware._asgi import call_with_copy
from middleware.request_log.users import user_of
from tests.asgi import BODY, START, http_scope
from tests.request_log.heard import Told, request


def of(**attributes: Any) -> Any:
    return SimpleNamespace(**attributes)


class Email:
    """A user of Django's whose name is an address."""

    is_authenticated = True
    username = "never"

    def get_username(self) -> str:
        return "ada@example.com"


USERS: dict[str, tuple[Any, str | None]] = {
    "none": (None, None),
    "text": ("ada", "ada"),
    "no text": ("", None),
    "Starlette's": (SimpleUser("ada"), "ada"),
    "Starlette's stranger": (UnauthenticatedUser(), None),
    "Django's": (of(is_authenticated=True, get_username=lambda: "ada"), "ada"),
    "Django's stranger": (of(is_authenticated=False, get_username=lambda: ""), None),
    "one without a username": (Email(), "ada@example.com"),
    "a username": (of(username="ada"), "ada"),
    "an identity": (of(identity="42"), "42"),
    "a name": (of(name="ada"), "ada"),
    "an address": (of(email="ada@example.com"), "ada@example.com"),
    "a name and an address": (of(email="ada@example.com", username="ada"), "ada"),
    "an empty name and an address": (of(email="ada@example.com", username=""), "ada@example.com"),
    "a number": (of(username=42), None),
    "nothing known": (of(), None),
    "a dictionary": ({"username": "ada"}, None),
    "a stranger with a name": (of(username="ada", is_authenticated=False), None),
    "an answer that is a method": (of(username="ada", is_authenticated=lambda: False), None),
}


@pytest.mark.parametrize("name", USERS)
def test_the_name_of_a_user(name: str) -> None:
    user, expected = USERS[name]
    assert user_of({"user": user}) == expected


def test_without_a_user_there_is_no_name() -> None:
    assert user_of({}) is None


def test_the_user_is_the_one_that_the_application_found() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = SimpleUser("ada\n")
        await send(START)
        await send(BODY)

    told = Told(app)
    request(told, http_scope())
    assert told.record.user == r"ada\n"
    assert told.fields["user.name"] == r"ada\n"


def test_the_newest_copy_of_the_scope_says_who_it_is() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = "ada"
        await send(START)
        await send(BODY)

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        await call_with_copy(app, scope, {**scope}, receive, send)

    told, scope = Told(copying), http_scope(user="nobody")
    request(told, scope)
    assert (told.record.user, scope["user"]) == ("ada", "nobody")


def test_a_lazy_user_is_named_when_somebody_has_asked_and_never_asked_for() -> None:
    from django.utils.functional import SimpleLazyObject

    calls = []

    def load() -> Any:
        calls.append(1)
        return SimpleUser("ada")

    user = SimpleLazyObject(load)
    scope = {"user": user}
    assert user_of(scope) is None
    assert calls == []
    assert user.is_authenticated
    assert user_of(scope) == "ada"
    assert calls == [1]
    nobody = SimpleLazyObject(lambda: None)
    assert str(nobody) == "None"
    assert user_of({"user": nobody}) is None


PROGRAM = """
import django
from django.conf import settings

settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"])
django.setup()

from channels.auth import UserLazyObject
from django.contrib.auth.models import AnonymousUser, User
from django.utils.functional import SimpleLazyObject

from middleware.request_log.users import user_of

ada = User(username="ada")
unasked = UserLazyObject()
asked = UserLazyObject()
asked._wrapped = ada
stranger = UserLazyObject()
stranger._wrapped = AnonymousUser()
lazy = SimpleLazyObject(lambda: ada)
names = [user_of({"user": user}) for user in (ada, AnonymousUser(), unasked, asked, stranger, lazy)]
lazy.pk
print(*names, user_of({"user": lazy}))
"""


def test_the_users_of_django_and_channels() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert result.stderr == ""
    assert result.stdout == "ada None None ada None None ada\n"
