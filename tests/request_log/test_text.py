"""What is logged is one line that can be read back, without credentials: tables, and properties for any text."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from middleware.request_log.text import Redaction, printable

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
ESCAPE = re.compile(r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
HOSTILE = ["\r\n", "\x1b[2J", "\0", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\ufeff"]


def read_back(line: str) -> str:
    def character(escape: re.Match[str]) -> str:
        short, byte, *codes = escape.groups()
        if short:
            return {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}[short]
        if byte:
            code = int(byte, 16)
            return chr(code if code < 0x80 else 0xDC00 + code)
        return chr(int(codes[0] or codes[1], 16))

    return ESCAPE.sub(character, line)


def assert_safe(line: str) -> None:
    assert len(line.splitlines()) <= 1
    assert not [char for char in line if unicodedata.category(char)[0] in "CZ" and char != " "]
    line.encode()


# printable

PRINTABLE: list[tuple[str | bytes, str]] = [
    ("", ""),
    ("GET /grüße/日本/🎉?a=b c", "GET /grüße/日本/🎉?a=b c"),
    ("ÿ", "ÿ"),
    (b"\xc3\xbf", "ÿ"),
    (b"\xff", r"\xff"),
    ("\udcff", r"\xff"),
    ("a\nb\r\tc", r"a\nb\r\tc"),
    ("\x1b[31m\x00\x7f", r"\x1b[31m\x00\x7f"),
    ("\\", r"\\"),
    (r"\n", r"\\n"),
    ("\x85\x9b", r"\u0085\u009b"),
    ("\u202eabc\u2069", r"\u202eabc\u2069"),
    ("\u2028\u2029", r"\u2028\u2029"),
    ("\xa0", r"\u00a0"),
    ("\U000e0001", r"\U000e0001"),
    ("\ud800", r"\ud800"),
    (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    ('"', '"'),
]


@pytest.mark.parametrize(("value", "line"), PRINTABLE)
def test_what_is_not_printable_is_escaped(value: str | bytes, line: str) -> None:
    assert printable(value) == line


@given(ANY_TEXT)
@example("".join(HOSTILE))
@example("\\x0a\\u202e\\\\n")
def test_any_text_becomes_one_line_from_which_it_can_be_read_back(value: str) -> None:
    line = printable(value)
    assert_safe(line)
    assert read_back(line) == value


@given(st.binary())
@example("".join(HOSTILE).encode())
@example(bytes(range(256)))
def test_any_bytes_become_one_line_from_which_they_can_be_read_back(value: bytes) -> None:
    line = printable(value)
    assert_safe(line)
    assert read_back(line).encode("utf-8", "surrogateescape") == value


# Redaction

CREDENTIAL_HEADERS = """
    authorization proxy-authorization cookie set-cookie x-api-key x-auth-token x-csrf-token x-csrftoken x-xsrf-token
    x-amz-security-token x-goog-iap-jwt-assertion cf-access-jwt-assertion sec-websocket-protocol
"""
CREDENTIAL_KEYS = """
    X-Amz-Signature X-Amz-Credential X-Amz-Security-Token AWSAccessKeyId Signature sig X-Goog-Signature
    access_token id_token refresh_token token api_key apikey api-key api.key access-key password passwd pwd secret
    client_secret code session sessionid sid auth jwt csrfmiddlewaretoken
"""
HEADERS, KEYS = CREDENTIAL_HEADERS.split(), CREDENTIAL_KEYS.split()
HARMLESS = [
    "q",
    "page",
    "encode",
    "barcode",
    "design",
    "signal",
    "author",
    "sessions",
    "sidebar",
    "keyboard",
    "api",
    "",
]

plain = Redaction()


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_with_credentials_is_redacted(name: str) -> None:
    for spelling in (name, name.title(), name.upper()):
        assert plain.header(spelling, "s3cr3t") == "REDACTED"


@pytest.mark.parametrize("name", ["user-agent", "accept", "host", "x-request-id", "traceparent", "x-author"])
def test_another_header_is_left_as_it_is(name: str) -> None:
    assert plain.header(name, "https://u:p@host/?token=1") == "https://u:p@host/?token=1"


@pytest.mark.parametrize("name", ["referer", "Location", "Content-Location"])
def test_a_header_with_a_url_has_its_secrets_redacted(name: str) -> None:
    redacted = plain.header(name, "https://me:pw@a.example/cb?code=1&page=2#access_token=3")
    assert redacted == "https://REDACTED@a.example/cb?code=REDACTED&page=2#access_token=REDACTED"


@pytest.mark.parametrize("key", [*HEADERS, *KEYS])
def test_the_value_of_a_secret_key_is_redacted_and_the_key_stays_as_it_was_written(key: str) -> None:
    encoded = "".join(f"%{ord(char):02x}" for char in key)
    for spelling in (key, key.upper(), encoded, encoded.upper(), f"+{key}%20", f"%{ord(key[0]):02X}{key[1:]}"):
        assert plain.query(f"a=1&{spelling}=s3cr3t&b=%2f") == f"a=1&{spelling}=REDACTED&b=%2f"


@pytest.mark.parametrize("key", HARMLESS)
def test_the_value_of_another_key_stays(key: str) -> None:
    assert plain.query(f"{key}=token&{key}=%zz+&x") == f"{key}=token&{key}=%zz+&x"


QUERIES = {
    "": "",
    "token": "token",
    "token&password": "token&password",
    "token=": "token=REDACTED",
    "token=a=b==&c=d": "token=REDACTED&c=d",
    "token=1&token=2": "token=REDACTED&token=REDACTED",
    "a=1;token=2": "a=1;token=REDACTED",
    "token=1;token=2&a=3": "token=REDACTED&a=3",
    "+code=1&co+de=2": "+code=REDACTED&co+de=2",
    "token=1;rest=2&a=3": "token=REDACTED&a=3",
    "next=/reset?token=1&a=2": "next=/reset?token=REDACTED&a=2",
    "next=/reset#token=1": "next=/reset#token=REDACTED",
    "?token=1": "?token=REDACTED",
    "&&token=1&&": "&&token=REDACTED&&",
    "user[password]=1": "user[password]=REDACTED",
    "user[pwd]=1&code[]=2&a.sig=3": "user[pwd]=REDACTED&code[]=REDACTED&a.sig=REDACTED",
    "next=%2Freset%3Ftoken%3D1%26a%3D2&b=3": "next=%2Freset%3Ftoken%3DREDACTED%26a%3D2&b=3",
    "next=%2fcb%23id_token%3d1": "next=%2fcb%23id_token%3dREDACTED",
    "session_id=1&PHPSESSID=2&private-key=3": "session_id=REDACTED&PHPSESSID=REDACTED&private-key=REDACTED",
    "a=token=1": "a=token=1",
    "%zz=1&%=2&%ff=3": "%zz=1&%=2&%ff=3",
    "token=\udcff&\udcff=\n": "token=REDACTED&\udcff=\n",
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_redacted(query: str) -> None:
    assert plain.query(query) == QUERIES[query]


URLS = {
    "": "",
    "/": "/",
    "/password=1/a=b": "/password=1/a=b",
    "/cb?code=1": "/cb?code=REDACTED",
    "/?token=1#top": "/?token=REDACTED#top",
    "https://a.example/#access_token=1&state=2": "https://a.example/#access_token=REDACTED&state=2",
    "/#/login?token=1#2": "/#/login?token=REDACTED",
    "https://me:pw@a.example": "https://REDACTED@a.example",
    "https://me@a.example/": "https://REDACTED@a.example/",
    "//me:p@ss@a.example/?q=@": "//REDACTED@a.example/?q=@",
    "https:\\\\me:pw@a.example\\": "https:\\\\REDACTED@a.example\\",
    "https://a.example/@me": "https://a.example/@me",
    "https://a.example?to=me@b.example": "https://a.example?to=me@b.example",
    "mailto:me@a.example": "mailto:me@a.example",
    "/a//b@c": "/a//b@c",
    "b//c@d": "b//c@d",
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_redacted(url: str) -> None:
    assert plain.url(url) == URLS[url]


def test_further_names_are_secret_as_headers_and_as_keys() -> None:
    redaction = Redaction(["X-Internal", "iban "])
    assert redaction.header("x-internal", "1") == redaction.header("IBAN", "1") == "REDACTED"
    assert (
        redaction.query("Iban=1&ibans=2&x-internal=3&token=4")
        == "Iban=REDACTED&ibans=2&x-internal=REDACTED&token=REDACTED"
    )
    assert plain.query("iban=1") == "iban=1"


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT)))
def test_parameters_that_are_not_secret_stay_byte_for_byte(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{key}={value}" for key, value in pairs)
    with_secret = plain.query(f"{query}&token={query.replace('&', '')}&")
    assert with_secret == plain.query(query) + "&token=REDACTED&"


@given(ANY_TEXT)
def test_any_text_is_redacted_once_and_for_all(text: str) -> None:
    for redacted in (plain.query, plain.url):
        assert redacted(redacted(text)) == redacted(text)
    assert "s3cr3t" not in plain.query(f"{text}&token=s3cr3t")


@pytest.mark.parametrize(
    "part", ["a", "=", "&", ";", "%", "+", "?", "#", "/", "@", "//", "\\", "a&", "token=", ";a", "%41"]
)
def test_redaction_and_escapes_take_time_linear_in_the_text(part: str) -> None:
    for text in (part, f"a={part}", f"//{part}", f"?a={part}#{part}"):
        long = text + part * (65_536 // len(part))
        began = time.perf_counter()
        plain.query(long), plain.query(long + "="), plain.url(long), plain.url(long + "=@"), plain.header(long, long)
        printable(long + "\n")
        assert time.perf_counter() - began < 2  # a quadratic pass takes far longer
