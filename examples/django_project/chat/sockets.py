"""A chat for everybody who has the page open, in plain ASGI: one coroutine for each websocket.

Whoever has logged in with Django is known here by name, from Django's session. The page sends what was typed, as text.
It gets JSON:

    {"event": "welcome", "name": "Guest 2", "user": null, …}                    the name here, and that of the user
    {"event": "joined", "name": "Guest 2", "people": ["Guest 1", "Guest 2"]}    or "left"
    {"event": "said", "name": "Guest 2", "text": "hello"}
    {"event": "logged", "lines": [{"method": "GET", …}]}                        what chat/log.py has noted

The conversation lives in the memory of this process: each of several workers would have its own. It needs a server
that runs on asyncio, as all do by default.
"""

import asyncio
import contextlib
import json
from itertools import chain, count

from middleware import DjangoSessionMiddleware

from . import log

PATH = "/ws/"
MESSAGE_LIMIT = 500  # characters
MAILBOX_LIMIT = 100  # events that wait for one person
PEOPLE_LIMIT = 100

# Codes that a browser is closed with. Those below 3000 have fixed meanings, and daphne lets an application send none
# of them but 1000.
TEXT_ONLY, TOO_LONG, ROOM_IS_FULL = 4003, 4009, 4013

mailboxes: dict[str, asyncio.Queue[str]] = {}
"""The events that are on their way to each person, by the person's name."""


async def chat(scope, receive, send):
    if scope["type"] != "websocket":
        # The server's start and stop come here too; an error tells it that there is nothing to do.
        raise ValueError(f"only websockets are served here, not {scope['type']}")
    await receive()  # websocket.connect: the browser asks
    if scope["path"].removeprefix(scope.get("root_path") or "") != PATH:
        await send({"type": "websocket.close"})  # not accepted yet, so the answer is a 403
        return
    await send({"type": "websocket.accept"})
    if len(mailboxes) >= PEOPLE_LIMIT:
        await send({"type": "websocket.close", "code": ROOM_IS_FULL, "reason": "the room is full"})
        return

    user = scope["user"].get_username() or None  # that of an AnonymousUser is empty
    name = next(name for name in names(user) if name not in mailboxes)
    mailboxes[name] = mailbox = asyncio.Queue(MAILBOX_LIMIT)
    ids = {"request_id": scope["request_id"], "trace_id": scope["trace_context"].trace_id}
    mailbox.put_nowait(json.dumps({"event": "welcome", "name": name, "user": user, **ids}))
    mailbox.put_nowait(json.dumps({"event": "logged", "lines": [*log.lines]}))
    tell_everybody("joined", name=name, people=[*mailboxes])
    try:
        async with asyncio.TaskGroup() as tasks:
            delivery = tasks.create_task(deliver(mailbox, send))
            last_word = await listen(receive, name)
            delivery.cancel()
    finally:
        del mailboxes[name]
        tell_everybody("left", name=name, people=[*mailboxes])
    if last_word:
        with contextlib.suppress(OSError):  # gone already
            await send(last_word)


def names(user):
    """The names that somebody may have here: a user who has the page open twice is two people, as guests are."""
    return chain([user], (f"{user} {number}" for number in count(2))) if user else (f"Guest {n}" for n in count(1))


async def listen(receive, name):
    """Pass on what ``name`` says until the connection ends; return the message that ends it if we have to."""
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is None:
            return {"type": "websocket.close", "code": TEXT_ONLY, "reason": "text only"}
        if len(text) > MESSAGE_LIMIT:
            return {"type": "websocket.close", "code": TOO_LONG, "reason": f"at most {MESSAGE_LIMIT} characters"}
        if text := text.strip():
            tell_everybody("said", name=name, text=text)
        # The next message may be here already, then receive() does not wait: the deliveries need their turn.
        await asyncio.sleep(0)
    return None


async def deliver(mailbox, send):
    with contextlib.suppress(OSError):  # the connection is gone, and listen() is told so
        while True:
            await send({"type": "websocket.send", "text": await mailbox.get()})


def tell_everybody(event, **details):
    text = json.dumps({"event": event, **details})
    for mailbox in mailboxes.values():
        if mailbox.full():
            mailbox.get_nowait()  # whoever does not read misses the oldest event, and holds up nobody
        mailbox.put_nowait(text)


log.listeners.append(lambda line: tell_everybody("logged", lines=[line]))
application = DjangoSessionMiddleware(chat)
