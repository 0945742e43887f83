"""The two classes, which differ in their words only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._asgi import call_with_copy
from .codecs import KINDS
from .configuration import DEFAULT_EXCLUDED_CONTENT_TYPES, check_level, check_size, load_codecs, rules_of
from .negotiation import IDENTITY
from .representation import rewritten
from .responder import Responder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .._asgi import ASGIApp
    from .._errors import Problem
    from .configuration import Rules, ShouldCompress


class _Compressing:
    """What both classes do with a request."""

    __slots__ = ("_rules", "app")

    app: ASGIApp
    _rules: Rules

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        rules, headers = self._rules, scope.get("headers") or ()
        accepted, conditional = [], False
        for name, value in headers:
            if name == b"accept-encoding":
                accepted.append(value)
            elif name == b"if-range" or (rules.suffix and name in (b"if-match", b"if-none-match")):
                conditional = True
        choice = rules.choose(b",".join(accepted)) if accepted else IDENTITY
        respond = Responder(rules, choice, scope, send).send
        if conditional:
            changed = rewritten(headers, scope.get("method"), choice.codec and choice.codec.coding, rules.suffix)
            if changed != [*headers]:
                await call_with_copy(self.app, scope, {**scope, "headers": changed}, receive, respond)
                return
        await self.app(scope, receive, respond)

    def __repr__(self) -> str:
        names = [codec.coding.decode() for codec in self._rules.codecs]
        return f"{type(self).__name__}(codecs={names})"


class GZipMiddleware(_Compressing):
    """Send responses in gzip to clients that accept it (RFC 9110 §12.5.3), with Python's own zlib.

    Encoded responses have Content-Encoding, Vary, a weak ETag and the new Content-Length, and no Accept-Ranges and
    digests. A stream is encoded piece by piece, each of which is flushed. Not encoded are small bodies, bodies that
    would not get smaller, excluded content types, what has a Content-Encoding already (``identity`` too), parts (206),
    files that the server sends itself, ``Cache-Control: no-transform``, and what a page of another site requests with
    the user's cookies (BREACH). Websockets and lifespan pass as they are.

    Args:
        app: The ASGI application to wrap.
        minimum_size: Bytes of a body below which it is sent as it is.
        compresslevel: From 1, fast, to 9, small.
        thread_minimum_size: Bytes from which a body, or a piece of a stream, is encoded in a thread.
        exclude_content_types: Content types that are not encoded, ``"image/png"`` or ``"image/*"``.
        stream_content_types: Streams of events to encode, ``"text/event-stream"``, whether excluded or not: such a
            response starts at once, and takes little memory however long it is open.
        etag: What becomes of a strong ETag: ``"weak"``, or ``"suffix"`` for another strong one, ``"a;gzip"``, which
            is taken off in If-None-Match and If-Match.
        should_compress: Asked about each response that no other rule leaves as it is, with the scope, the status and
            the headers as pairs of bytes; False sends it as it is.

    Raises:
        ConfigurationError: If ``app`` is not an application or an argument is wrong.
    """

    __slots__ = ()

    def __init__(
        self,
        app: ASGIApp,
        minimum_size: int = 500,
        compresslevel: int = 6,
        thread_minimum_size: int = 128 * 1024,
        *,
        exclude_content_types: Collection[str] = DEFAULT_EXCLUDED_CONTENT_TYPES,
        stream_content_types: Collection[str] = (),
        etag: str = "weak",
        should_compress: ShouldCompress | None = None,
    ) -> None:
        problems: list[Problem] = []
        check_size("minimum_size", minimum_size, problems)
        codecs = []
        if check_level("compresslevel", "gzip", compresslevel, problems):
            codecs = [KINDS["gzip"].at(compresslevel)._replace(offload=thread_minimum_size)]
        check_size("thread_minimum_size", thread_minimum_size, problems)
        self._rules = rules_of(
            "GZipMiddleware",
            app,
            codecs,
            problems,
            minimum_size=minimum_size,
            exclude_content_types=exclude_content_types,
            stream_content_types=stream_content_types,
            etag=etag,
            should_compress=should_compress,
        )
        self.app = app


class CompressionMiddleware(_Compressing):
    """Send responses in the coding that the client likes best: zstd, br or gzip (RFC 9110 §12.5.3).

    What is encoded, and how, is as with ``GZipMiddleware``. Of codings that a client likes equally the first of
    ``codecs`` is taken; for streams of events gzip, which needs the least memory.

    Args:
        app: The ASGI application to wrap.
        codecs: Names in the order of preference, ``["br", "gzip"]``; None for zstd, br and gzip as far as they are
            installed. zstd needs ``asgi-middleware[zstd]``, br ``asgi-middleware[br]``.
        levels: Levels by name; those left out are zstd 3 (of 1 to 19), br 4 (of 0 to 11), gzip 6 (of 1 to 9).
        minimum_size: Bytes of a body below which it is sent as it is.
        exclude_content_types: Content types that are not encoded, ``"image/png"`` or ``"image/*"``.
        stream_content_types: Streams of events to encode, ``"text/event-stream"``, whether excluded or not: such a
            response starts at once, and takes little memory however long it is open.
        etag: What becomes of a strong ETag: ``"weak"``, or ``"suffix"`` for another strong one, ``"a;br"``, which
            is taken off in If-None-Match and If-Match.
        should_compress: Asked about each response that no other rule leaves as it is, with the scope, the status and
            the headers as pairs of bytes; False sends it as it is.

    Raises:
        ConfigurationError: If ``app`` is not an application, an argument is wrong, or a codec that is named is not
            installed.
    """

    __slots__ = ()

    def __init__(
        self,
        app: ASGIApp,
        *,
        codecs: Collection[str] | None = None,
        levels: Mapping[str, int] | None = None,
        minimum_size: int = 500,
        exclude_content_types: Collection[str] = DEFAULT_EXCLUDED_CONTENT_TYPES,
        stream_content_types: Collection[str] = (),
        etag: str = "weak",
        should_compress: ShouldCompress | None = None,
    ) -> None:
        problems: list[Problem] = []
        loaded = load_codecs(codecs, levels, problems)
        check_size("minimum_size", minimum_size, problems)
        self._rules = rules_of(
            "CompressionMiddleware",
            app,
            loaded,
            problems,
            minimum_size=minimum_size,
            exclude_content_types=exclude_content_types,
            stream_content_types=stream_content_types,
            etag=etag,
            should_compress=should_compress,
        )
        self.app = app
