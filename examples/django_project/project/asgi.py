"""
ASGI config for project project.

It exposes the ASGI callable as a module-level variable named ``application``.

Two lines are not as ``django-admin startproject`` wrote them: the import of ``ProtocolRouter``, and ``application``.
Pages still come from Django, the admin among them. Websockets go to ``application`` in ``chat/sockets.py``, which
Django alone answers with a 500. It is named, not imported: the router imports it after ``get_asgi_application()`` has
set Django up, so that it may use models.

Serve it from this folder with any ASGI server, for example

    uvicorn project.asgi:application

and open the page in two tabs. ``python serve.py`` does the same and finds a free port.

For more information on this file, see
https://docs.djangoproject.com/en/5.2/howto/deployment/asgi/
"""

import os

from django.core.asgi import get_asgi_application

from middleware import ProtocolRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = ProtocolRouter(http=get_asgi_application(), websocket="chat.sockets:application")
