"""A project of each framework: what its own ``startproject`` makes, edited as a user would."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .environments import run
from .rows import GINGER_DJ, Row

FILES = Path(__file__).parent / "project"

USER = {
    "DJANGO_SUPERUSER_USERNAME": "ada",
    "DJANGO_SUPERUSER_EMAIL": "ada@example.com",
    "DJANGO_SUPERUSER_PASSWORD": "analytical",
}

RUNSERVER = """\
from .settings import *

INSTALLED_APPS.insert(0, "{app}")
ASGI_APPLICATION = "mysite.asgi_inline.application"
"""


@dataclass(frozen=True)
class Project:
    """A project on disk, and the Python of its row's environment.

    ``mysite.asgi`` is wrapped; beside it are ``asgi_before`` as it was, ``asgi_http_only`` without a websocket
    side, and ``asgi_channels`` with Channels as the websocket side.
    """

    row: Row
    python: Path
    folder: Path


def make_project(row: Row, python: Path, folder: Path) -> Project:
    project = Project(row, python, folder)
    shutil.copytree(FILES / "chat", folder / "chat")
    if row is GINGER_DJ:
        shutil.copytree(FILES / "gingerdj", folder, dirs_exist_ok=True)
        _wrap(folder, channels="mysite.django_beside:application")
    else:
        _start_django_project(project)
        _wrap(folder, channels="chat.routing:application")
    return project


def _start_django_project(project: Project) -> None:
    folder = project.folder
    run([project.python.with_name("django-admin"), "startproject", "mysite", "."], folder)
    shutil.copytree(FILES / "django", folder, dirs_exist_ok=True)
    with (folder / "mysite" / "urls.py").open("a") as urls:
        urls.write("\nfrom chat.views import page\n\nurlpatterns += [path('', page)]\n")
    (folder / "mysite" / "settings_runserver.py").write_text(RUNSERVER.format(app=project.row.runserver))
    run([project.python, "manage.py", "migrate"], folder)
    run([project.python, "manage.py", "createsuperuser", "--no-input"], folder, USER)


def _wrap(folder: Path, channels: str) -> None:
    asgi = folder / "mysite" / "asgi.py"
    before = asgi.read_text()
    for name, arguments in {
        "asgi_before": None,
        "asgi": 'http=application, websocket="chat.sockets:application"',
        "asgi_http_only": "http=application",
        "asgi_channels": f'http=application, websocket="{channels}"',
    }.items():
        asgi.with_stem(name).write_text(_wrapped(before, arguments) if arguments else before)


def _wrapped(asgi: str, arguments: str) -> str:
    imported = "import get_asgi_application\n"
    assert asgi.count(imported) == 1
    head = asgi.replace(imported, f"{imported}from middleware import ProtocolRouter\n")
    return f"{head}\napplication = ProtocolRouter({arguments})\n"
