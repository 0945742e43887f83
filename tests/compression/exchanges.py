"""What these tests share: requests, answers as a client sees them, the reference decoders, bodies."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import brotli

from middleware.lint import LintMiddleware
from tests.asgi import Message, Spy, call, http_scope

try:
    zstd: Any = import_module("compression.zstd")  # Python 3.14
except ImportError:
    zstd = import_module("backports.zstd")

CODINGS = ("gzip", "br", "zstd")
PAGE = b"".join(b'{"id": %d, "name": "user %d", "admin": false}\n' % (number, number) for number in range(140))
NOISE = b"".join(zlib.crc32(b"%d" % number).to_bytes(4, "big") for number in range(750))
CROSS_SITE = (
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-dest", "image"),
    ("cookie", "session=1"),
)


class Decoder:
    """The reference decoder of a coding, or none: fed piece by piece, it gives what can be read by then."""

    def __init__(self, coding: str | None) -> None:
        self.coding = coding
        self._decoder = {
            "gzip": lambda: zlib.decompressobj(31),
            "br": brotli.Decompressor,
            "zstd": zstd.ZstdDecompressor,
            None: lambda: None,
        }[coding]()

    def __call__(self, piece: bytes) -> bytes:
        if not piece or self._decoder is None:
            return piece
        decode = self._decoder.process if self.coding == "br" else self._decoder.decompress
        decoded: bytes = decode(piece)
        while self.coding == "br" and (more := decode(b"")):  # which it may keep back when there is much
            decoded += more
        return decoded

    def has_ended(self) -> bool:
        """Whether what it was given is complete, with nothing behind it."""
        if self._decoder is None:
            return True
        if self.coding == "br":
            return bool(self._decoder.is_finished())
        return bool(self._decoder.eof and not self._decoder.unused_data)


@dataclass(frozen=True)
class Answer:
    """A response as it was sent."""

    messages: list[Message]

    @property
    def start(self) -> Message:
        (start,) = (message for message in self.messages if message["type"] == "http.response.start")
        return start

    @property
    def status(self) -> int:
        status: int = self.start["status"]
        return status

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode("latin-1")) for name, value in self.start.get("headers", ())]

    def __getitem__(self, name: str) -> str | None:
        """The value of a header that the response must not have twice."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def pieces(self) -> list[bytes]:
        return [message.get("body", b"") for message in self.messages if message["type"] == "http.response.body"]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def decoded(self) -> bytes:
        """The body in plain, which must be complete."""
        decoder = Decoder(self["content-encoding"])
        decoded = b"".join(map(decoder, self.pieces))
        assert decoder.has_ended(), "the body is cut off or has something behind it"
        return decoded


def start(*headers: tuple[str, str], status: int = 200, **more: Any) -> Message:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw, **more}


def body(*pieces: bytes) -> list[Message]:
    """The messages of a body in these pieces."""
    last = len(pieces) - 1
    return [
        {"type": "http.response.body", "body": piece, "more_body": number < last} for number, piece in enumerate(pieces)
    ]


def response(*headers: tuple[str, str], content: bytes = PAGE, status: int = 200) -> list[Message]:
    """The messages of a whole response with its length."""
    return [start(*headers, ("content-length", str(len(content))), status=status), *body(content)]


def linted(cls: Any, *messages: Message, **keywords: Any) -> Any:
    """The class around an application that sends these messages, with Lint on both sides."""
    return LintMiddleware(cls(LintMiddleware(Spy(*messages), strict=True), **keywords), strict=True)


async def ask(
    app: Any, accepted: str | None = "gzip", *headers: tuple[str, str], method: str = "GET", **changes: Any
) -> Answer:
    """The answer to a request that accepts these codings and has more headers."""
    named = [("host", "api.example"), *([] if accepted is None else [("accept-encoding", accepted)]), *headers]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in named]
    return Answer(await call(app, http_scope(method=method, headers=raw, **changes)))


def offering(*extensions: str) -> dict[str, Any]:
    """The changes to a scope whose server offers these extensions."""
    return {"extensions": {f"http.response.{name}": {} for name in extensions}}
