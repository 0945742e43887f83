"""
ASGI config for project project.

It exposes the ASGI callable as a module-level variable named ``application``.

What is not as ``django-admin startproject`` wrote it: the import from ``middleware``, and ``application``.

- Pages still come from Django, the admin among them.
- What is below ``/api`` goes to FastAPI in ``chat/api.py``. It knows itself by its own paths, ``/status`` and so on,
  and is started and stopped with the server.
- Websockets go to ``application`` in ``chat/sockets.py``; Django alone answers them with a 500. Who has logged in with
  Django is known there, by the ``DjangoSessionMiddleware`` around it.
- What comes is passed from layer to layer, the first one outermost: each request is logged, with an id and as part of
  a trace; pages of other sites on this machine may read what is sent, without cookies, and open no websocket; what is
  sent is compressed if that makes it smaller, in the coding that the browser likes best, of those that are installed.

``chat.api`` and ``chat.sockets`` are named, not imported: the routers import them after ``get_asgi_application()`` has
set Django up, so that they may use models.

Serve it from this folder with any ASGI server, for example

    pip install "asgi-middleware[br,zstd]" django fastapi "uvicorn[standard]"
    python manage.py migrate
    uvicorn project.asgi:application

and open the page in two tabs. ``python serve.py`` does the same, makes users who can log in, and finds a free port.

For more information on this file, see
https://docs.djangoproject.com/en/5.2/howto/deployment/asgi/
"""

import os

from django.core.asgi import get_asgi_application

from middleware import (
    CompressionMiddleware,
    CORSMiddleware,
    Middleware,
    PathRouter,
    ProtocolRouter,
    RequestIdMiddleware,
    RequestLogMiddleware,
    TraceContextMiddleware,
    stack,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = ProtocolRouter(
    http=PathRouter({"/api": "chat.api:application"}, default=get_asgi_application()),
    websocket="chat.sockets:application",
    lifespan="lazy",  # for daphne, which starts no application: there the first connection does
)
application = stack(
    application,
    Middleware(RequestLogMiddleware),
    Middleware(RequestIdMiddleware),
    Middleware(TraceContextMiddleware),
    Middleware(CORSMiddleware, ["http://localhost:*", "http://127.0.0.1:*"], websocket_origins=[]),
    Middleware(CompressionMiddleware),
)
