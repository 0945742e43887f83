"""What a cookie holds: read if it is just as it was written, and else nothing, whatever is in it."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import sys
import zlib
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from itertools import permutations
from typing import Any

import itsdangerous
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.middleware.sessions import SessionMiddleware as StarlettesMiddleware

from middleware import ConfigurationError, SessionMiddleware
from middleware.sessions.tokens import EncryptedTokens, SignedTokens, StarletteTokens, Token
from tests.asgi import BODY, START, call, http_scope

KEY, OTHER, THIRD = ("0123456789abcdef" * 4, "fedcba9876543210" * 4, "s" * 64)
TOKEN = Token(b'{"user":5,"name":"\xc3\xa4"}', 1_800_000_000, 1_800_000_600)
LONG = Token(b'{"cart":[%s]}' % b",".join(b'{"product":%d}' % number for number in range(60)), 1, 2**32 - 1)
FORMS: dict[str, Callable[..., Any]] = {"signed": SignedTokens, "encrypted": EncryptedTokens}

every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
every_token = pytest.mark.parametrize("token", [TOKEN, LONG], ids=["short", "long"])


def unpadded(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")


def decoded(value: bytes) -> bytes:
    return urlsafe_b64decode(value + b"==")


def reference(*keys: str, cookie: str = "session") -> itsdangerous.Signer:
    """itsdangerous' own signer; it takes the oldest secret first."""
    return itsdangerous.Signer(
        [*reversed(keys)],
        salt=f"middleware.session.v1:{cookie}",
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )


def starlettes(data: bytes, key: str = KEY) -> bytes:
    return itsdangerous.TimestampSigner(key).sign(b64encode(data))


# As it was written


@every_form
@every_token
def test_a_token_is_read(form: Any, token: Token) -> None:
    tokens = form([KEY], "session")
    assert tokens.read(tokens.write(token)) == token
    assert form([KEY], "session").read(tokens.write(token)) == token


@every_form
@every_token
def test_a_token_is_made_of_what_a_cookie_can_hold(form: Any, token: Token) -> None:
    value = form([KEY], "session").write(token)
    assert not value.strip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@every_form
@every_token
def test_each_byte_can_be_nothing_else(form: Any, token: Token) -> None:
    tokens = form([KEY], "session")
    value = tokens.write(token)
    for place, there in enumerate(value):
        for byte in {*range(0, 256, 3), *(there ^ 1 << bit for bit in range(8)), *b'.=-_+/ "%', 0} - {there}:
            assert tokens.read(value[:place] + bytes([byte]) + value[place + 1 :]) is None, (place, byte)
    assert tokens.read(value) == token


@every_form
@every_token
def test_each_truncation_is_nothing(form: Any, token: Token) -> None:
    tokens = form([KEY], "session")
    value = tokens.write(token)
    for place in range(len(value)):
        assert tokens.read(value[:place]) is None
        assert tokens.read(value[place + 1 :]) is None
        assert tokens.read(value[:place] + value[place + 1 :]) is None
    assert tokens.read(value) == token


@every_form
@pytest.mark.parametrize("more", [b"=", b"==", b"A", b".", b" ", b"\n", b"\0", b'"', b"%", b"\xff", b"AAAA", b"!"])
def test_nothing_can_be_added(form: Any, more: bytes) -> None:
    tokens = form([KEY], "session")
    value = tokens.write(TOKEN)
    for place in range(len(value) + 1):
        assert tokens.read(value[:place] + more + value[place:]) is None
    assert tokens.read(value) == TOKEN


@every_form
def test_a_token_is_not_twice_itself(form: Any) -> None:
    tokens = form([KEY], "session")
    value = tokens.write(TOKEN)
    assert tokens.read(value + value) is tokens.read(value + b"." + value) is None
    assert tokens.read(value.swapcase()) is tokens.read(value.lower()) is None


@every_form
def test_the_parts_of_two_tokens_make_none(form: Any) -> None:
    tokens = form([KEY], "session")
    one, other = tokens.write(TOKEN), tokens.write(TOKEN._replace(data=b'{"user":6,"name":"\xc3\xa4"}'))
    assert len(one) == len(other)
    for place in range(1, len(one)):
        mixed = one[:place] + other[place:]
        assert tokens.read(mixed) is None or mixed in (one, other)


@every_form
@pytest.mark.parametrize("name", ["admin", "Session", "session2", "__Host-session", "sessio", ""])
def test_a_token_is_bound_to_the_name_of_its_cookie(form: Any, name: str) -> None:
    value = form([KEY], "session").write(TOKEN)
    assert form([KEY], name).read(value) is None
    assert form([KEY], "session").read(value) == TOKEN


@every_form
@pytest.mark.parametrize("key", [OTHER, KEY.upper(), KEY[:-1], KEY + "0", " " + KEY, "x"])
def test_another_key_reads_nothing(form: Any, key: str) -> None:
    value = form([KEY], "session").write(TOKEN)
    assert form([key], "session").read(value) is None
    assert form([KEY], "session").read(value) == TOKEN


READERS = {
    "signed": SignedTokens([KEY], "session"),
    "encrypted": EncryptedTokens([KEY], "session"),
    "Starlette's": StarletteTokens([KEY]),
}


@pytest.mark.parametrize(("written", "read"), [*permutations(READERS, 2)])
def test_a_token_of_another_form_is_nothing(written: str, read: str) -> None:
    values = {
        "signed": SignedTokens([KEY], "session").write(TOKEN),
        "encrypted": EncryptedTokens([KEY], "session").write(TOKEN),
        "Starlette's": starlettes(TOKEN.data),
    }
    assert READERS[read].read(values[written]) is None
    for name, reader in READERS.items():
        assert reader.read(values[name]).data == TOKEN.data  # type: ignore[union-attr]


# Former secrets


@every_form
def test_former_secrets_are_read_and_the_first_one_writes(form: Any) -> None:
    new, old, oldest = (form([key], "session") for key in (KEY, OTHER, THIRD))
    tokens = form([KEY, OTHER, THIRD], "session")
    for former in (new, old, oldest):
        assert tokens.read(former.write(TOKEN)) == TOKEN
    value = tokens.write(TOKEN)
    assert new.read(value) == TOKEN
    assert old.read(value) is oldest.read(value) is None
    assert form([KEY, OTHER], "session").read(oldest.write(TOKEN)) is None


def test_former_secrets_read_starlettes_cookies_too() -> None:
    tokens = StarletteTokens([KEY, OTHER])
    for key in (KEY, OTHER):
        assert tokens.read(starlettes(b"{}", key)).data == b"{}"  # type: ignore[union-attr]
    assert tokens.read(starlettes(b"{}", THIRD)) is None


# Signed: itsdangerous is the reference

VALUES = st.builds(Token, st.binary(max_size=900), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
SECRETS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), min_size=1, max_size=3)
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)


@given(VALUES, SECRETS, NAMES)
def test_itsdangerous_signs_the_same(token: Token, keys: list[str], cookie: str) -> None:
    value = SignedTokens(keys, cookie).write(token)
    signer = reference(*keys, cookie=cookie)
    assert signer.sign(signer.unsign(value)) == value
    for key in keys:
        assert SignedTokens(keys, cookie).read(reference(key, cookie=cookie).sign(signer.unsign(value))) == token


def test_the_form_of_signed_tokens_is_fixed() -> None:
    value = SignedTokens([KEY], "session").write(TOKEN)
    assert reference(KEY).unsign(value) == unpadded(struct.pack(">BII", 0, *TOKEN[1:]) + TOKEN.data)
    assert value == (b"AGtJ0gBrSdRYeyJ1c2VyIjo1LCJuYW1lIjoiw6QifQ.JICzIaKPjKIasrmC7_lpBRZrOoF3h2NK3tOGKg99-iw")
    compressed = decoded(reference(KEY).unsign(SignedTokens([KEY], "session").write(LONG)))
    assert compressed[:9] == struct.pack(">BII", 1, *LONG[1:])
    assert zlib.decompress(compressed[9:]) == LONG.data


def test_a_secret_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = SignedTokens([KEY, OTHER], "session")
    value = tokens.write(TOKEN)
    monkeypatch.setattr(itsdangerous.Signer, "derive_key", None)
    assert tokens.write(TOKEN) == value
    assert tokens.read(value) == TOKEN


@pytest.mark.parametrize(
    ("size", "compressed"), [(0, False), (511, False), (512, True), (4096, True)], ids=lambda value: str(value)
)
def test_data_is_compressed_if_that_makes_it_smaller(size: int, compressed: bool) -> None:
    tokens = SignedTokens([KEY], "session")
    for data, smaller in ((b"a" * size, compressed), (hashlib.shake_256(b"").digest(size), False)):
        value = tokens.write(Token(data, 1, 2))
        assert decoded(reference(KEY).unsign(value))[0] == smaller
        assert tokens.read(value) == Token(data, 1, 2)


@pytest.mark.parametrize("size", [65_535, 65_536])
def test_data_of_64_kib_is_read(size: int) -> None:
    tokens = SignedTokens([KEY], "session")
    token = Token(b"a" * size, 1, 2)
    assert tokens.read(tokens.write(token)) == token


# Junk that has been authenticated: something else has the same key

HEAD = struct.pack(">BII", 0, 1, 2)
DEFLATED = struct.pack(">BII", 1, 1, 2)
SOUND = zlib.compress(b'{"user":5}')

JUNK: dict[str, bytes] = {
    "nothing": b"",
    "short head": HEAD[:-1],
    "another kind": struct.pack(">BII", 2, 1, 2) + b"{}",
    "the last kind": struct.pack(">BII", 255, 1, 2) + b"{}",
    "no zlib": DEFLATED,
    "bad zlib": DEFLATED + b'{"user":5}',
    "zlib cut off": DEFLATED + SOUND[:-1],
    "zlib with another checksum": DEFLATED + SOUND[:-1] + bytes([SOUND[-1] ^ 1]),
    "raw deflate": DEFLATED + SOUND[2:-4],
    "gzip": DEFLATED + zlib.compress(b"{}", wbits=31),
    "zlib with a dictionary": DEFLATED + b"\x78\xbb" + SOUND[2:],
    "one byte more than 64 KiB": DEFLATED + zlib.compress(b"a" * 65_537),
    "bomb": DEFLATED + zlib.compress(bytes(50_000_000), 9),
}


def sealed(packed: bytes, key: str = KEY) -> bytes:
    """What ``EncryptedTokens`` makes of ``packed``, by other means."""
    bound = b"middleware.session.encrypted.v1:session"
    master = hmac.new(key.encode(), bound, hashlib.sha256).digest()
    salt = hashlib.sha256(packed).digest()
    derived = hmac.new(master, salt, hashlib.sha512).digest()
    return unpadded(salt + AESGCM(derived[:32]).encrypt(derived[32:44], packed, bound))


@pytest.mark.parametrize("name", JUNK)
def test_authenticated_junk_is_nothing(name: str) -> None:
    signed, encrypted = SignedTokens([KEY], "session"), EncryptedTokens([KEY], "session")
    assert signed.read(reference(KEY).sign(unpadded(JUNK[name]))) is None
    assert encrypted.read(sealed(JUNK[name])) is None
    for packed, data in ((HEAD + b"{}", b"{}"), (DEFLATED + SOUND, b'{"user":5}')):
        assert signed.read(reference(KEY).sign(unpadded(packed))) == (data, 1, 2)
        assert encrypted.read(sealed(packed)) == (data, 1, 2)


@pytest.mark.parametrize(
    "text",
    [b"!", b"a", b"abcde", b"a b", b"\xff", b"", b".", b"eyJ9=", b"AAAAAAEAAAACe30=", b"AAAAAAEAAAACe31"],
    ids=repr,
)
def test_what_is_signed_and_not_base64_as_it_was_written_is_nothing(text: bytes) -> None:
    tokens = SignedTokens([KEY], "session")
    assert tokens.read(reference(KEY).sign(text)) is None
    assert tokens.read(reference(KEY).sign(b"AAAAAAEAAAACe30")) == (b"{}", 1, 2)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.builds(lambda rest: DEFLATED + rest, st.binary(max_size=60)))
def test_authenticated_bytes_never_raise(packed: bytes) -> None:
    signed = SignedTokens([KEY], "session").read(reference(KEY).sign(unpadded(packed)))
    assert signed == EncryptedTokens([KEY], "session").read(sealed(packed))
    assert signed is None or packed[0] in (0, 1)


# Anything at all


@every_form
@settings(max_examples=200, deadline=None)
@given(token=VALUES, keys=SECRETS, cookie=NAMES)
def test_whatever_is_written_is_read(form: Any, token: Token, keys: list[str], cookie: str) -> None:
    tokens = form(keys, cookie)
    value = tokens.write(token)
    assert tokens.read(value) == token
    assert form([*reversed(keys)], cookie).read(value) == token


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@settings(max_examples=300, deadline=None)
@given(
    value=st.binary(max_size=120) | st.from_regex(rb"[A-Za-z0-9_=-]{0,120}(\.[A-Za-z0-9_-]{0,50}){0,3}", fullmatch=True)
)
@example(value=b"")
@example(value=b".")
@example(value=b"null")
@example(value=b"." * 5_000)
@example(value=b"A" * 100_000)
def test_what_nobody_has_written_is_nothing(reader: Any, value: bytes) -> None:
    assert reader.read(value) is None


# Encrypted


def test_the_form_of_encrypted_tokens_is_fixed() -> None:
    tokens = EncryptedTokens([KEY], "session")
    assert tokens.read(sealed(struct.pack(">BII", 0, *TOKEN[1:]) + TOKEN.data)) == TOKEN
    value = decoded(tokens.write(TOKEN))
    assert len(value) == 32 + 9 + len(TOKEN.data) + 16


def test_encryption_never_repeats() -> None:
    tokens = EncryptedTokens([KEY], "session")
    values = [decoded(tokens.write(TOKEN)) for _ in range(500)]
    assert len({value[:32] for value in values}) == len({value[32:48] for value in values}) == 500


def test_encryption_hides_the_data_and_signing_does_not() -> None:
    signed, encrypted = (form([KEY], "session").write(TOKEN) for form in FORMS.values())
    assert TOKEN.data in decoded(signed.partition(b".")[0])
    assert TOKEN.data not in decoded(encrypted)
    assert struct.pack(">I", TOKEN.created) not in decoded(encrypted)
    assert unpadded(TOKEN.data)[4:-4] not in encrypted


def test_encrypted_data_is_not_compressed() -> None:
    tokens = EncryptedTokens([KEY], "session")
    sizes = {len(tokens.write(Token(data, 1, 2))) for data in (b"a" * 3000, hashlib.shake_256(b"").digest(3000))}
    assert len(sizes) == 1


async def app(scope: Any, receive: Any, send: Any) -> None:
    scope["session"].update({"user": 5, "name": "ä"})
    await send({**START, "headers": []})  # Starlette's class writes into the list
    await send(BODY)


@pytest.mark.parametrize("missing", ["cryptography.hazmat.primitives.ciphers.aead", "cryptography.exceptions"])
def test_without_cryptography_encryption_is_refused_with_what_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    SessionMiddleware(app, KEY, encrypt=True)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError) as caught:
        SessionMiddleware(app, KEY, encrypt=True)
    reason = "needs cryptography, which is not installed"
    remedy = "run: pip install 'asgi-middleware[crypto]'"
    assert caught.value.problems == (("encrypt", True, reason, remedy),)
    SessionMiddleware(app, KEY)


# Starlette's


async def test_a_cookie_of_starlettes_class_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.9)
    start, _ = await call(StarlettesMiddleware(app, KEY), http_scope())
    value = dict(start["headers"])[b"set-cookie"].partition(b";")[0].removeprefix(b"session=")
    token = StarletteTokens([KEY]).read(value)
    assert token is not None
    assert json.loads(token.data) == {"user": 5, "name": "ä"}
    assert (token.created, token.seen) == (1_800_000_000, 1_800_000_000)
    assert StarletteTokens([OTHER]).read(value) is None


def test_a_cookie_of_starlettes_class_changed_anywhere_is_nothing() -> None:
    tokens, value = StarletteTokens([KEY]), starlettes(b'{"user":5}')
    for place, there in enumerate(value[:-1]):
        for bit in range(8):
            assert tokens.read(value[:place] + bytes([there ^ 1 << bit]) + value[place + 1 :]) is None
    for place in range(len(value)):
        assert tokens.read(value[:place]) is None
    assert tokens.read(value).data == b'{"user":5}'  # type: ignore[union-attr]


@pytest.mark.parametrize("text", [b"!", b"a", b"abcde", b"a b=", b"\xff", b"ey J9", b"eyJ1c2VyIjo1fQ"], ids=repr)
def test_what_starlettes_signer_has_signed_for_others_is_nothing(text: bytes) -> None:
    assert StarletteTokens([KEY]).read(itsdangerous.TimestampSigner(KEY).sign(text)) is None


@pytest.mark.parametrize("stamp", [b"", b"AAAAAAAAAAAAAAAAAAAAAA", b"_________w", b"!!", b"\xff", b"A"], ids=repr)
def test_a_signed_stamp_that_is_no_time_is_nothing_or_one_far_away(stamp: bytes) -> None:
    value = itsdangerous.Signer(KEY).sign(b64encode(b"{}") + b"." + stamp)
    token = StarletteTokens([KEY]).read(value)
    assert token is None or not 1_000_000_000 < token.seen < 3_000_000_000
