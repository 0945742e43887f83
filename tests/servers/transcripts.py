"""Write docs/seed-problem.md: one websocket handshake on each server, before and after the router.

python -m tests.servers.transcripts
"""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from .process import serving

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "seed-problem.md"

SERVERS = {
    "uvicorn": ["uvicorn", "asgi:application"],
    "hypercorn": ["hypercorn", "asgi:application"],
    "daphne": ["daphne", "asgi:application"],
    "granian": ["granian", "--interface", "asgi", "asgi:application"],
}
PORT = {"hypercorn": ["--bind", "127.0.0.1:PORT"]}
VERSIONS = ", ".join(f"{name} {version(name)}" for name in ["Django", *SERVERS])

HANDSHAKE = """\
GET /ws/ HTTP/1.1
Host: 127.0.0.1:8000
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
"""

BEFORE = """\
from django.core.asgi import get_asgi_application

application = get_asgi_application()
"""

AFTER = """\
from django.core.asgi import get_asgi_application

from middleware import ProtocolRouter

application = ProtocolRouter(http=get_asgi_application(), websocket="chat:application")
"""

UNLISTED = """\
from django.core.asgi import get_asgi_application

from middleware import ProtocolRouter

application = ProtocolRouter(http=get_asgi_application())
"""

CHAT = """\
async def application(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "welcome"})
    await receive()  # websocket.disconnect
"""

CASES = {
    "Before": BEFORE,
    "After": AFTER,
    "After, for a websocket without an application": UNLISTED,
}

INTRODUCTION = f"""\
# The problem this project began with

Django's ASGI application serves http and nothing else. A browser that opens a websocket to it is turned away, on
most servers with the news that the server is broken, and every attempt leaves a traceback in the log. Most servers
also complain at start-up, because Django does not know the lifespan protocol either.

This page shows what goes over the wire and into the log of four servers, as `python -m tests.servers.transcripts`
recorded it with {VERSIONS}.
Times, process ids and the client's port are replaced by `…`, and so is the middle of each traceback; what follows
the headers of an answer is written as Python writes bytes. The client sends this:

```text
{HANDSHAKE}```

**Before**, `asgi.py` is what `django-admin startproject` writes, less the setting:

```python
{BEFORE}```

**After**, websockets go to an application of their own:

```python
{AFTER}```

which is the file `chat.py`:

```python
{CHAT}```

**Without an application for websockets**, a stranger's handshake is refused, and nothing is logged but the access:

```python
{UNLISTED}```
"""


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join([INTRODUCTION, *map(section, SERVERS)]), encoding="utf-8")


def section(name: str) -> str:
    parts = [f"## {name}\n\n`{' '.join(SERVERS[name])}`\n"]
    for title, asgi in CASES.items():
        answer, log = transcript(name, asgi)
        parts.append(f"### {title}\n\nThe client sees:\n\n{fenced(answer)}\nThe server logs:\n\n{fenced(log)}")
    return "\n".join(parts)


def fenced(text: str) -> str:
    return f"```text\n{text.strip() or '(nothing)'}\n```\n"


def transcript(name: str, asgi: str) -> tuple[str, str]:
    """What a client of the server ``name`` sees of ``asgi``, the text of asgi.py, and what the server logs."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "asgi.py").write_text(asgi, encoding="utf-8")
        (folder / "chat.py").write_text(CHAT, encoding="utf-8")
        env = {"DJANGO_SETTINGS_MODULE": "tests.servers.django_settings", "PYTHONPATH": str(ROOT)}
        arguments = ["-m", *SERVERS[name], *PORT.get(name, ["--port", "PORT"])]
        with serving(arguments, folder, folder / "log", env=env) as server:
            answer = handshake(server.port)
            time.sleep(1)  # for what is logged when the client has gone
            log = re.sub(rf"\b{server.port}\b", "8000", server.log())
    return readable_answer(answer), readable_log(log, folder)


def handshake(port: int) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
        sock.sendall(HANDSHAKE.replace("\n", "\r\n").encode() + b"\r\n")
        with suppress(TimeoutError):  # some servers keep the connection open
            while b"welcome" not in answer and (data := sock.recv(4096)):
                answer += data
    return answer


def readable_answer(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").splitlines()
    lines = [re.sub(r"^(date): .*", r"\1: …", line, flags=re.IGNORECASE).rstrip() for line in lines]
    return "\n".join([*lines, "", f"{body[:60]!r}" if body else "(no content)"])


def readable_log(log: str, folder: Path) -> str:
    log = log.replace(f"{folder}/", "")
    log = re.sub(r'File "[^"]*/(?:site-packages|python3\.\d+)/', 'File "', log)
    log = re.sub(r"^\d{4}-\d\d-\d\d [\d:,]+ ", "… ", log, flags=re.MULTILINE)
    log = re.sub(r"\[(?:\d{4}-\d\d-\d\d|\d\d/\w{3}/\d{4})[^]]*\]", "[…]", log)
    log = re.sub(r"(?<=\[)\d+(?=\])|(?<=PID: )\d+", "…", log)
    log = re.sub(r"(?<=127\.0\.0\.1:)(?!8000\b)\d+", "…", log)
    return "\n".join(shortened(log.splitlines()))


def shortened(lines: list[str]) -> Iterator[str]:
    """The lines, each traceback without the frames between its first line and its last frame."""
    frames: list[str] | None = None
    for line in lines:
        if line.startswith("Traceback "):
            frames = []
        elif frames is not None and line.startswith(" "):
            frames.append(line)
            continue
        elif frames is not None:
            last = max(number for number, frame in enumerate(frames) if frame.startswith('  File "'))
            yield from ["  …", *frames[last : last + 2]]
            frames = None
        yield line.rstrip()


if __name__ == "__main__":
    main()
