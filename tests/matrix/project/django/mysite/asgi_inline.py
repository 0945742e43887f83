"""The websocket side written in place, as the documentation of Channels has it."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

from middleware import ProtocolRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django_application = get_asgi_application()

from chat.consumers import ChatConsumer  # noqa: E402  it imports a model

application = ProtocolRouter(
    http=django_application,
    websocket=AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/chat/", ChatConsumer.as_asgi())]))),
)
