"""Serve this project on uvicorn: ``python serve.py``, or ``PORT=9000 python serve.py``.

``uvicorn project.asgi:application`` in this folder does the same on port 8000. Here, the database is made if there is
none, with two users in it, a port that is taken is no obstacle, and Ctrl-C does not wait for pages that are still open.
"""

import contextlib
import os
import socket
import sys

import django
import uvicorn
from django.core.management import call_command

HOST = "127.0.0.1"
PORTS = range(8000, 8100)
USERS = ["ada", "grace"]
PASSWORD = "chat"

HINTS = """
  {address}

  Open it in two tabs and say something: Django serves the page, and the conversation goes over a websocket at
  /ws/. Log in as {users}, password {password}: the websocket knows you by Django's session.
  FastAPI, mounted at /api, counts the visits: see {address}api/status
  All three are behind the one `application` in project/asgi.py. Any other websocket path is refused with 403, and
  so is a page of another site.

  Here and on the page each request has a line when it is answered, each websocket when it closes. Ctrl-C stops the
  server.
"""


def main() -> None:
    listener = listen()
    make_users()
    address = f"http://{HOST}:{listener.getsockname()[1]}/"
    print(HINTS.format(address=address, users=" or ".join(USERS), password=PASSWORD), flush=True)
    # The request log has what uvicorn would tell of each request and websocket.
    config = uvicorn.Config("project.asgi:application", log_level="warning", timeout_graceful_shutdown=2)
    # uvicorn raises the KeyboardInterrupt again when it has shut everything down.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def make_users() -> None:
    """Those who can log in, in the database that the settings name; what is in it stays."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    call_command("migrate", verbosity=0)

    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    for name in USERS:
        if not users.filter(username=name).exists():
            users.create_user(name, password=PASSWORD)


def listen() -> socket.socket:
    """Listen on the port that ``PORT`` names, else on the first free one of ``PORTS``."""
    wanted = os.environ.get("PORT")
    ports = [int(wanted)] if wanted else PORTS
    for port in ports:
        with contextlib.suppress(OSError):
            return socket.create_server((HOST, port))
    sys.exit(f"port {wanted} is not free" if wanted else f"no port is free from {PORTS[0]} to {PORTS[-1]}")


if __name__ == "__main__":
    main()
