"""The value of a cookie that holds a whole session: signed, or encrypted. Bytes in, bytes out.

A token is bound to the name of its cookie: the value of one is nothing in another. Everything that is not just as it
was written is refused, before anything in it is looked at.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import zlib
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import itsdangerous

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = struct.Struct(">BII")  # whether the data is compressed, created, seen
_PLAIN, _DEFLATED = 0, 1
_COMPRESSED_FROM = 512  # bytes of data
_MAX_DATA = 65_536  # bytes that a token may inflate to
TOO_LARGE = "keep less in it, or write SessionMiddleware(..., store=...)"
_SALT = 32  # bytes; there is a key for each message, so that none of them wears out (NIST SP 800-38D §8.3)


class SessionTooLargeError(ValueError):
    """The data of a session does not fit into a cookie."""


class Token(NamedTuple):
    """What a cookie holds: the data in JSON, and when the session began and was last renewed, in seconds."""

    data: bytes
    created: int
    seen: int


class Readable(Protocol):
    """A form of tokens."""

    def read(self, value: bytes) -> Token | None:
        """The token in the value of a cookie, None if it is not one of this form."""
        ...


class Tokens(Readable, Protocol):
    """A form of tokens that can be written."""

    def write(self, token: Token) -> bytes:
        """The value of a cookie."""
        ...


class SignedTokens:
    """Tokens that everybody can read and nobody can change: HMAC-SHA256.

    Args:
        keys: Secrets, the newest first; that one signs.
        cookie: The name of the cookie.
    """

    __slots__ = ("_signer",)

    def __init__(self, keys: Sequence[str], cookie: str) -> None:
        self._signer = _Signer(
            [*reversed(keys)],
            salt=f"middleware.session.v1:{cookie}",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    def read(self, value: bytes) -> Token | None:
        signed, _, signature = value.rpartition(b".")
        if not self._signer.verify_signature(signed, signature):
            return None
        try:
            return _unpacked(_decoded(signed))
        except ValueError:
            return None

    def write(self, token: Token) -> bytes:
        return self._signer.sign(_encoded(_packed(token, compress=True)))


class EncryptedTokens:
    """Tokens that nobody else can read: AES-256-GCM (RFC 5116) with a key for each, which a random salt gives.

    The data is not compressed: its length would tell what is in it to those who can put something there.
    """

    __slots__ = ("_aead", "_bound", "_failure", "_masters")

    def __init__(self, keys: Sequence[str], cookie: str) -> None:
        self._aead: Any = import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
        self._failure: Any = import_module("cryptography.exceptions").InvalidTag
        self._bound = f"middleware.session.encrypted.v1:{cookie}".encode()
        self._masters = [hmac.digest(key.encode(), self._bound, "sha256") for key in keys]

    def read(self, value: bytes) -> Token | None:
        try:
            sealed = _decoded(value)
        except ValueError:
            return None
        for master in self._masters:
            cipher, nonce = self._cipher(master, sealed[:_SALT])
            try:
                return _unpacked(cipher.decrypt(nonce, sealed[_SALT:], self._bound))
            except (self._failure, ValueError):
                continue
        return None

    def write(self, token: Token) -> bytes:
        salt = os.urandom(_SALT)
        cipher, nonce = self._cipher(self._masters[0], salt)
        return _encoded(salt + cipher.encrypt(nonce, _packed(token, compress=False), self._bound))

    def _cipher(self, master: bytes, salt: bytes) -> tuple[Any, bytes]:
        derived = hmac.digest(master, salt, "sha512")
        return self._aead(derived[:32]), derived[32:44]


class StarletteTokens:
    """The cookies of Starlette's class, to read only."""

    __slots__ = ("_signer",)

    def __init__(self, keys: Sequence[str]) -> None:
        self._signer = itsdangerous.TimestampSigner([*reversed(keys)])

    def read(self, value: bytes) -> Token | None:
        try:
            data, signed = self._signer.unsign(value, return_timestamp=True)
            seen = int(signed.timestamp())
            return Token(b64decode(data, validate=True), seen, seen)
        except (itsdangerous.BadSignature, ValueError, OverflowError, OSError):
            return None


class _Signer(itsdangerous.Signer):
    """itsdangerous' signer, which derives its keys once and takes a signature in one spelling only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        derived = [self.derive_key(key) for key in reversed(self.secret_keys)]
        self._prepared = [hmac.new(key, digestmod=self.digest_method) for key in derived]

    def get_signature(self, value: str | bytes) -> bytes:
        return _signature(self._prepared[0], itsdangerous.want_bytes(value))

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        value, sig = itsdangerous.want_bytes(value), itsdangerous.want_bytes(sig)
        return any(hmac.compare_digest(_signature(prepared, value), sig) for prepared in self._prepared)


def _signature(prepared: hmac.HMAC, value: bytes) -> bytes:
    one = prepared.copy()
    one.update(value)
    return _encoded(one.digest())


def _packed(token: Token, compress: bool) -> bytes:
    if len(token.data) > _MAX_DATA:
        raise SessionTooLargeError(f"the session has {len(token.data)} bytes; {TOO_LARGE}")
    kind, data = _PLAIN, token.data
    if compress and len(data) >= _COMPRESSED_FROM:
        smaller = zlib.compress(data, 1)
        if len(smaller) < len(data):
            kind, data = _DEFLATED, smaller
    return _HEAD.pack(kind, token.created, token.seen) + data


def _unpacked(packed: bytes) -> Token | None:
    """The token of what was authenticated; None if it was made by something else with the same key."""
    if len(packed) < _HEAD.size:
        return None
    kind, created, seen = _HEAD.unpack_from(packed)
    data = packed[_HEAD.size :]
    if kind == _DEFLATED:
        inflating = zlib.decompressobj()
        try:
            data = inflating.decompress(data, _MAX_DATA)
        except zlib.error:
            return None
        if not inflating.eof:
            return None
    elif kind != _PLAIN:
        return None
    return Token(data, created, seen)


def _encoded(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")


def _decoded(value: bytes) -> bytes:
    """The bytes of URL-safe base64 without padding, in its only spelling; ValueError if it is something else."""
    try:
        decoded = urlsafe_b64decode(value + b"=" * (-len(value) % 4))
    except Error as error:
        raise ValueError("not base64") from error
    if _encoded(decoded) != value:
        raise ValueError("not the base64 that was written")
    return decoded
