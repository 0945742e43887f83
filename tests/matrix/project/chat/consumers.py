"""A consumer that imports a model, as most do: it cannot be imported before Django is set up."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import User


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content):
        user = self.scope["user"]
        name = user.get_username() if isinstance(user, User) else ""
        await self.send_json({"user": name, "said": content})
