"""What encoding changes in headers, byte for byte, and that each change is undone in the requests that follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middleware.compression.representation import (
    encoded,
    encoded_tag,
    forbids_encoding,
    forbids_transformation,
    not_modified,
    rewritten,
    varying,
    without_digests,
)

Header = tuple[bytes, bytes]

VARY = (b"vary", b"Accept-Encoding")
GZIP = (b"content-encoding", b"gzip")
TYPE = (b"content-type", b"text/html")


class Unchangeable(list[Header]):
    """A list of headers that may be read only."""

    def refuse(self, *arguments: object, **keywords: object) -> None:
        raise AssertionError("changed a received list")

    append = extend = insert = remove = pop = clear = sort = reverse = refuse  # type: ignore[assignment]
    __setitem__ = __delitem__ = __iadd__ = __imul__ = refuse  # type: ignore[assignment]


# Responses: the headers of the application, and those of the encoded response

ENCODED: dict[str, tuple[list[Header], list[Header]]] = {
    "no headers": ([], [VARY, GZIP]),
    "order": (
        [(b"z", b"1"), TYPE, (b"set-cookie", b"a"), (b"a", b"2"), (b"set-cookie", b"b")],
        [(b"z", b"1"), TYPE, (b"set-cookie", b"a"), (b"a", b"2"), (b"set-cookie", b"b"), VARY, GZIP],
    ),
    "spelling": ([(b"X-Name", b" a ")], [(b"X-Name", b" a "), VARY, GZIP]),
    "vary": ([(b"Vary", b"Cookie"), TYPE], [(b"vary", b"Cookie, Accept-Encoding"), TYPE, GZIP]),
    "vary, there": ([(b"Vary", b"accept-ENCODING")], [(b"Vary", b"accept-ENCODING"), GZIP]),
    "vary, everything": ([(b"vary", b"*")], [(b"vary", b"*"), GZIP]),
    "vary, two lines": (
        [(b"vary", b"Origin"), (b"vary", b"Cookie")],
        [(b"vary", b"Origin"), (b"vary", b"Cookie, Accept-Encoding"), GZIP],
    ),
    "length": ([(b"content-length", b"99"), TYPE], [TYPE, VARY, GZIP]),
    "length, spelt otherwise and twice": ([(b"Content-Length", b"99"), (b"CONTENT-LENGTH", b"99")], [VARY, GZIP]),
    "transfer": ([(b"Transfer-Encoding", b"chunked"), (b"te", b"a")], [(b"te", b"a"), VARY, GZIP]),
    "ranges": ([(b"Accept-Ranges", b"bytes")], [VARY, GZIP]),
    "no ranges": ([(b"accept-ranges", b"none")], [VARY, GZIP]),
    "digests": (
        [
            *((b"content-digest", b"sha-256=:a:"), (b"Repr-Digest", b"sha-256=:a:"), (b"digest", b"sha-256=a")),
            *((b"Content-MD5", b"a"), (b"want-repr-digest", b"sha-256=1"), (b"x-digest", b"a")),
        ],
        [(b"want-repr-digest", b"sha-256=1"), (b"x-digest", b"a"), VARY, GZIP],
    ),
    "strong tag": ([(b"etag", b'"a"'), TYPE], [(b"etag", b'W/"a"'), TYPE, VARY, GZIP]),
    "weak tag": ([(b"ETag", b'W/"a"')], [(b"ETag", b'W/"a"'), VARY, GZIP]),
    "malformed tag": ([(b"ETag", b"a"), TYPE], [TYPE, VARY, GZIP]),
    "what stays": (
        [(b"last-modified", b"x"), (b"cache-control", b"max-age=1"), (b"location", b"/"), (b"link", b"</a>")],
        [
            (b"last-modified", b"x"),
            (b"cache-control", b"max-age=1"),
            (b"location", b"/"),
            (b"link", b"</a>"),
            VARY,
            GZIP,
        ],
    ),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("length", [None, 0, 7])
def test_the_headers_of_an_encoded_response_describe_it(name: str, length: int | None) -> None:
    given, expected = ENCODED[name]
    size = [] if length is None else [(b"content-length", b"%d" % length)]
    assert encoded(Unchangeable(given), b"gzip", False, length) == [*expected, *size]
    assert encoded(tuple(given), b"gzip", False, length) == encoded(iter(given), b"gzip", False, length)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd"])
def test_the_coding_is_named_in_the_headers_and_with_a_suffix_in_the_tag(coding: bytes) -> None:
    assert encoded([(b"etag", b'"a"')], coding, True, 7) == [
        (b"etag", b'"a;%s"' % coding),
        VARY,
        (b"content-encoding", coding),
        (b"content-length", b"7"),
    ]


names = st.sampled_from(
    [b"etag", b"vary", b"content-length", b"accept-ranges", b"repr-digest", b"a", b"b", b"set-cookie"]
)
values = st.sampled_from([b'"a"', b'W/"a"', b"", b"*", b"Cookie", b"accept-encoding", b"7"])
headers = st.lists(st.tuples(st.one_of(names, names.map(bytes.title)), values), max_size=8)
CHANGED = (b"etag", b"vary", b"content-length", b"accept-ranges", b"repr-digest")


@given(headers, st.booleans())
def test_no_other_header_is_changed_and_none_moves(given: list[Header], suffix: bool) -> None:
    made = encoded(Unchangeable(given), b"br", suffix, None)
    assert made[-1] == (b"content-encoding", b"br")
    assert [pair for pair in made[:-1] if pair[0].lower() not in CHANGED] == [
        pair for pair in given if pair[0].lower() not in CHANGED
    ]


@given(headers)
def test_vary_names_accept_encoding_once_and_encoding_adds_none(given: list[Header]) -> None:
    made = varying(Unchangeable(given))
    lines = [value for name, value in made if name.lower() == b"vary"]
    listed = [token.strip().lower() for line in lines for token in line.split(b",")]
    assert b"*" in listed or listed.count(b"accept-encoding") >= 1
    assert listed.count(b"accept-encoding") <= max(1, sum(pair[1] == b"accept-encoding" for pair in given))
    assert varying(made) == made
    assert [pair for pair in made if pair[0].lower() != b"vary"] == [
        pair for pair in given if pair[0].lower() != b"vary"
    ]


def test_trailers_lose_the_digests_of_what_was_not_sent() -> None:
    kept = [(b"x-a", b"1"), (b"server-timing", b"a")]
    digests = [(b"Content-Digest", b"a"), (b"repr-digest", b"a"), (b"DIGEST", b"a"), (b"content-md5", b"a")]
    assert without_digests(Unchangeable([kept[0], *digests, kept[1]])) == kept
    assert without_digests(iter(())) == []


# Tags (RFC 9110 §8.8.3): what the application says, weak, and with a suffix

TAGS: dict[bytes, tuple[bytes | None, bytes | None]] = {
    b'"a"': (b'W/"a"', b'"a;gzip"'),
    b'""': (b'W/""', b'";gzip"'),
    b'"a,b"': (b'W/"a,b"', b'"a,b;gzip"'),
    b'"!#[]{}~\x80\xff"': (b'W/"!#[]{}~\x80\xff"', b'"!#[]{}~\x80\xff;gzip"'),
    b'"\\"': (b'W/"\\"', b'"\\;gzip"'),
    b'"a;gzip"': (b'W/"a;gzip"', b'"a;gzip;gzip"'),
    b'W/"a"': (b'W/"a"', b'W/"a"'),
    b'W/""': (b'W/""', b'W/""'),
    **dict.fromkeys(
        (
            *(b"", b"a", b'"', b'"a', b'a"', b'"a"b"', b'""a', b'w/"a"', b'W"a"', b"W/a", b'W/ "a"', b'W/W/"a"', b"*"),
            *(b'"a b"', b'"a\tb"', b'"a\x7f"', b'"a\0"', b'"a"\n', b'"a\r\nx: y"', b' "a"', b'"a" '),
            *(b"'a'", b'"a", "b"', b'"a";gzip'),
        ),
        (None, None),
    ),
}


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_gets_weak_or_another_one_and_a_malformed_one_is_dropped(tag: bytes) -> None:
    assert (encoded_tag(tag, b"gzip", False), encoded_tag(tag, b"gzip", True)) == TAGS[tag]


OPAQUE = [byte for byte in range(256) if byte == 0x21 or 0x23 <= byte <= 0x7E or byte >= 0x80]
strong = st.lists(st.sampled_from(OPAQUE), max_size=12).map(lambda made: b'"%s"' % bytes(made))
strong |= st.text("a,;gzipbr", max_size=12).map(lambda made: b'"%s"' % made.encode())
tags = strong | strong.map(lambda tag: b"W/" + tag)
codings = st.sampled_from([b"gzip", b"br", b"zstd"])
separators = st.sampled_from([b",", b", ", b" ,\t", b",,", b" , ,"])


odd = st.text('W/"a,;\\ \t\n\0\x7f', max_size=5)


@given(st.binary(max_size=8) | odd.map(str.encode) | odd.map(lambda made: f'"{made}"'.encode()) | tags)
def test_a_tag_is_what_the_grammar_says(tag: bytes) -> None:
    opaque = tag.removeprefix(b"W/")
    well_formed = len(opaque) >= 2 and opaque[:1] == opaque[-1:] == b'"' and {*OPAQUE}.issuperset(opaque[1:-1])
    assert (encoded_tag(tag, b"gzip", False) is not None) == well_formed


def condition(value: bytes, coding: bytes | None, name: bytes = b"if-none-match", method: str = "GET") -> bytes:
    ((_, changed),) = rewritten(Unchangeable([(name, value)]), method, coding, True)
    return changed


@given(st.lists(strong, min_size=1, max_size=4), codings, separators)
def test_what_was_added_to_a_tag_is_taken_off(given: list[bytes], coding: bytes, separator: bytes) -> None:
    sent = separator.join(encoded_tag(tag, coding, True) or b"" for tag in given)
    assert condition(sent, coding) == condition(sent, coding, b"if-match", "PUT") == separator.join(given)


@given(strong, codings)
def test_tags_of_different_codings_differ(tag: bytes, coding: bytes) -> None:
    made = [encoded_tag(tag, coding, True) for coding in (b"gzip", b"br", b"zstd")]
    assert len({tag, *made}) == 4
    assert encoded_tag(tag, coding, False) != tag


# Conditions: with a suffix, for a client that would get gzip now, br now, no coding now

CONDITIONS: dict[bytes, tuple[bytes, bytes, bytes]] = {
    b'"a"': (b'"a"', b'"a"', b'"a"'),
    b'"a;gzip"': (b'"a"', b'"a;gzip"', b'"a;gzip"'),
    b'"a;br"': (b'"a;br"', b'"a"', b'"a;br"'),
    b'"a;zstd"': (b'"a;zstd"', b'"a;zstd"', b'"a;zstd"'),
    b'W/"a;gzip"': (b'W/"a"', b'W/"a;gzip"', b'W/"a;gzip"'),
    b'"a;gzip", "b;br" ,W/"c"': (b'"a", "b;br" ,W/"c"', b'"a;gzip", "b" ,W/"c"', b'"a;gzip", "b;br" ,W/"c"'),
    b'"a,b;gzip","c;gzip"': (b'"a,b","c"', b'"a,b;gzip","c;gzip"', b'"a,b;gzip","c;gzip"'),
    b'"a;gzip,b","c"': (b'"a;gzip,b","c"',) * 3,
    b'"a;gzip;gzip"': (b'"a;gzip"', b'"a;gzip;gzip"', b'"a;gzip;gzip"'),
    b'"a;br;gzip"': (b'"a;br"', b'"a;br;gzip"', b'"a;br;gzip"'),
    b'";gzip"': (b'""', b'";gzip"', b'";gzip"'),
    **{
        unchanged: (unchanged,) * 3
        for unchanged in (
            *(b"", b"*", b'"agzip"', b'"gzip"', b'"a;GZIP"', b'"a;gzip "', b'"a; gzip"', b'"a;gzipped"', b'"a;exi"'),
            *(b"a;gzip", b'"a;gzip', b'a;gzip"', b"'a;gzip'", b'"a b;gzip"', b'"a\0;gzip"', b'"a";gzip', b"\xff;gzip"),
        )
    },
}


@pytest.mark.parametrize("value", CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_none_match_loses_the_suffix_of_the_coding_that_the_client_gets(value: bytes, method: str) -> None:
    made = tuple(condition(value, coding, method=method) for coding in (b"gzip", b"br", None))
    assert made == CONDITIONS[value]


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", None])
@pytest.mark.parametrize(
    ("name", "method"), [(b"if-match", "GET"), (b"if-match", "PUT"), (b"if-match", "DELETE"), (b"if-none-match", "PUT")]
)
def test_what_is_to_be_overwritten_is_named_without_any_suffix(name: bytes, method: str, coding: bytes | None) -> None:
    value = b'"a;gzip", "b;br", W/"c;zstd", "d", "e;deflate", *'
    assert condition(value, coding, name, method) == b'"a", "b", W/"c", "d", "e;deflate", *'


@pytest.mark.parametrize("coding", [b"gzip", None])
def test_every_line_of_a_condition_is_changed_and_nothing_else_is(coding: bytes | None) -> None:
    given = [
        (b"if-match", b'"a;gzip"'),
        (b"x-if-match", b'"a;gzip"'),
        (b"if-match", b'"b;gzip"'),
        (b"cookie", b'"a;gzip"'),
    ]
    changed = [(b"if-match", b'"a"'), given[1], (b"if-match", b'"b"'), given[3]]
    assert rewritten(Unchangeable(given), "PUT", coding, True) == changed
    assert rewritten(Unchangeable(given), "PUT", coding, False) == given


# Ranges: a part may follow only on a part of the same response

RANGE = (b"range", b"bytes=2000-")
DATE = b"Tue, 15 Nov 1994 12:45:26 GMT"
# If-Range, and whether the download restarts: with weak tags and with suffixes, for a client that would get gzip now
# and one that would get no coding

RESTARTS: dict[bytes, tuple[tuple[bool, bool], tuple[bool, bool]]] = {
    **dict.fromkeys((b'"a"', b'""', b'"a,b"', b'"a;exi"', b'"a;GZIP"', b'"gzip"'), ((False, False), (False, False))),
    **dict.fromkeys((b'"a;gzip"', b'"a;br"', b'";zstd"'), ((False, False), (True, True))),
    **dict.fromkeys((b'W/"a"', b'W/"a;gzip"', b"W/"), ((True, True), (True, True))),
    **dict.fromkeys((DATE, b"", b"a", b"*", b'w/"a"', b"a;gzip"), ((True, False), (True, False))),
}


@pytest.mark.parametrize("condition", RESTARTS)
def test_a_download_restarts_unless_its_tag_says_that_it_was_not_encoded(condition: bytes) -> None:
    others = [(b"host", b"a"), (b"accept", b"*/*")]
    given = [others[0], RANGE, (b"if-range", condition), others[1]]
    for suffix, expected in zip((False, True), RESTARTS[condition], strict=True):
        for coding, restarts in zip((b"gzip", None), expected, strict=True):
            assert rewritten(Unchangeable(given), "GET", coding, suffix) == (others if restarts else given)


def test_a_range_without_a_condition_is_left_to_the_application() -> None:
    assert rewritten(Unchangeable([RANGE]), "GET", b"gzip", True) == [RANGE]


def test_several_conditions_are_no_better_than_the_worst() -> None:
    for order in permutations([RANGE, (b"if-range", b'"a"'), (b"if-range", DATE)]):
        assert rewritten(Unchangeable(order), "GET", b"gzip", False) == []


@given(strong, codings, st.booleans())
def test_a_part_never_follows_on_an_encoded_response(tag: bytes, coding: bytes, suffix: bool) -> None:
    given = [RANGE, (b"if-range", encoded_tag(tag, coding, suffix) or b"")]
    for now in (coding, None):
        assert rewritten(given, "GET", now, suffix) == []


@pytest.mark.parametrize("coding", [b"gzip", None])
@pytest.mark.parametrize("name", [b"if-match", b"if-none-match"])
def test_a_part_is_one_of_the_plain_response_and_its_conditions_are_too(name: bytes, coding: bytes | None) -> None:
    given = [RANGE, (name, b'"a;gzip", "b"')]
    assert rewritten(Unchangeable(given), "GET", coding, True) == given


@pytest.mark.parametrize(
    "header", [(b"cache-control", b"no-transform"), (b"cookie", b"a=b")], ids=["no-transform", "another site"]
)
def test_a_client_that_gets_no_coding_has_its_tag_compared_as_it_is(header: Header) -> None:
    given = [*fetch("cross-site", "no-cors", "image"), header, (b"if-none-match", b'"a;gzip"')]
    assert rewritten(Unchangeable(given), "GET", b"gzip", True) == given
    assert rewritten(Unchangeable(given), "PUT", b"gzip", True) == [*given[:-1], (b"if-none-match", b'"a"')]


# 304: the tag of the application, If-None-Match, and the tag that goes out: for a client that would get gzip now and
# one that would get no coding, with weak tags and with suffixes

NOT_MODIFIED: list[tuple[bytes, list[bytes], tuple[bytes, bytes], tuple[bytes, bytes]]] = [
    (b'"a"', [b'W/"a"'], (b'W/"a"', b'W/"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'"a"'], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'"a", W/"a"'], (b'W/"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'"a"', b'W/"a"'], (b'W/"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'"a;gzip"'], (b'"a"', b'"a"'), (b'"a;gzip"', b'"a"')),
    (b'"a"', [b'W/"a;gzip"'], (b'"a"', b'"a"'), (b'"a;gzip"', b'"a"')),
    (b'"a"', [b'"a;br"'], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'"a;", W/"a;"'], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'"a", "a;gzip"'], (b'"a"', b'"a"'), (b'"a;gzip"', b'"a"')),
    (b'"a"', [b'"b;gzip", W/"b"'], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a,b"', [b'"x,y", W/"a,b", "a,b;gzip"'], (b'W/"a,b"', b'W/"a,b"'), (b'"a,b;gzip"', b'"a,b"')),
    (b'W/"a"', [b'W/"a"'], (b'W/"a"', b'W/"a"'), (b'W/"a"', b'W/"a"')),
    (b'W/"a"', [b'"a"'], (b'W/"a"', b'W/"a"'), (b'W/"a"', b'W/"a"')),
    (b'"a"', [b"*"], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b'"a"', [b'W/"a', b"junk\0"], (b'"a"', b'"a"'), (b'"a"', b'"a"')),
    (b"a", [b"W/a", b'W/"a"'], (b"a", b"a"), (b"a", b"a")),
]


@pytest.mark.parametrize(("tag", "conditions", "weak", "suffixed"), NOT_MODIFIED)
def test_a_304_names_the_response_as_the_client_has_it(
    tag: bytes, conditions: list[bytes], weak: tuple[bytes, bytes], suffixed: tuple[bytes, bytes]
) -> None:
    for suffix, expected in ((False, weak), (True, suffixed)):
        for coding, sent in zip((b"gzip", None), expected, strict=True):
            given = Unchangeable([(b"Etag", tag), (b"cache-control", b"max-age=1")])
            assert not_modified(given, conditions, coding, suffix) == [(b"Etag", sent), *given[1:], VARY]


@given(tags, codings, st.booleans())
def test_a_304_gives_back_the_tag_that_was_sent_with_the_200(tag: bytes, coding: bytes, suffix: bool) -> None:
    sent = encoded_tag(tag, coding, suffix) or b""
    assert not_modified([(b"etag", tag)], [sent], coding, suffix) == [(b"etag", sent), VARY]
    assert not_modified([(b"etag", tag)], [tag], None, suffix) == [(b"etag", tag), VARY]


def test_a_304_without_a_tag_gets_none() -> None:
    assert not_modified(iter([TYPE]), [b'W/"a"'], b"gzip", False) == [TYPE, VARY]


# Cache-Control: no-transform (RFC 9111 §5.2)

NO_TRANSFORM: dict[tuple[bytes, ...], bool] = {
    (): False,
    (b"",): False,
    (b"no-transform",): True,
    (b"No-Transform",): True,
    (b"public, NO-TRANSFORM, max-age=60",): True,
    (b"public,no-transform,max-age=60",): True,
    (b" \tno-transform\t ,",): True,
    (b",,no-transform",): True,
    (b"public", b"no-transform"): True,
    (b"no-transform", b"public"): True,
    (b'private="set-cookie, x", no-transform',): True,
    (b'a="\\"", no-transform',): True,
    (b'a="\\\\", no-transform',): True,
    (b'a="", no-transform, b="c"',): True,
    (b'a="no-transform"',): False,
    (b'a="x, no-transform, y"',): False,
    (b'a="\\", no-transform, b"',): False,
    (b'a="x\\\\\\", no-transform"',): False,
    (b'a="x,', b"no-transform", b'"'): True,  # a quote does not go on in another line
    (b'"no-transform"',): False,
    (b"a=no-transform",): False,
    (b"no-transform=1",): False,
    (b"x-no-transform",): False,
    (b"no-transformation, transform, no-transform-please",): False,
    (b"no transform",): False,
    (b"no-store, no-cache, must-revalidate",): False,
    (b"no-transform\0",): False,
    (b"\x0bno-transform, no-transform\r",): False,
}


@pytest.mark.parametrize("lines", NO_TRANSFORM)
def test_no_transform_is_a_directive_and_not_any_text(lines: tuple[bytes, ...]) -> None:
    assert forbids_transformation(iter(lines)) == NO_TRANSFORM[lines]


directives = st.sampled_from([b"public", b"max-age=60", b'a="no-transform"', b'b="x, no-transform, \\""', b'c=""', b""])


@given(st.lists(directives, max_size=4), st.lists(directives, max_size=4), separators)
def test_no_transform_is_found_among_any_directives(before: list[bytes], after: list[bytes], separator: bytes) -> None:
    assert forbids_transformation([separator.join([*before, b"No-Transform", *after])])
    assert not forbids_transformation([separator.join([*before, *after])])


# Requests from another site (BREACH): who asks, how, for what, and with what

SITES = ("cross-site", "same-site", "same-origin", "none", "", None)
MODES = ("navigate", "no-cors", "cors", "same-origin", "websocket", "", None)
DESTINATIONS = ("document", "iframe", "frame", "embed", "object", "image", "script", "style", "empty", "", None)
CREDENTIALS: dict[str, list[Header]] = {
    "none": [],
    "cookie": [(b"cookie", b"sessionid=1")],
    "basic": [(b"authorization", b"Basic YTpi")],
    "both": [(b"cookie", b"a=b"), (b"authorization", b"Basic YTpi")],
}


def fetch(site: str | None, mode: str | None, destination: str | None) -> list[Header]:
    """The headers that a browser sends about a request; those that are None are left out."""
    given = {b"sec-fetch-site": site, b"sec-fetch-mode": mode, b"sec-fetch-dest": destination}
    return [(name, value.encode()) for name, value in given.items() if value is not None]


@pytest.mark.parametrize("credentials", CREDENTIALS)
@pytest.mark.parametrize("site", SITES)
def test_another_site_learns_no_sizes_but_of_what_the_user_goes_to_or_cors_allows(
    site: str | None, credentials: str
) -> None:
    for mode, destination in product(MODES, DESTINATIONS):
        harmless = mode == "cors" or (mode, destination) == ("navigate", "document")
        expected = site == "cross-site" and credentials != "none" and not harmless
        given = [(b"host", b"a"), *fetch(site, mode, destination), *CREDENTIALS[credentials]]
        assert forbids_encoding(Unchangeable(given)) == expected, (mode, destination)


def test_the_order_of_headers_does_not_matter() -> None:
    given = [*fetch("cross-site", "no-cors", "image"), *CREDENTIALS["cookie"]]
    for order in permutations(given):
        assert forbids_encoding(order)


@pytest.mark.parametrize(
    "more",
    [
        (b"sec-fetch-site", b"same-origin"),
        (b"sec-fetch-mode", b"cors"),
        (b"sec-fetch-mode", b"no-cors"),
        (b"sec-fetch-dest", b"document"),
        (b"sec-fetch-dest", b"iframe"),
    ],
)
def test_what_is_said_twice_excuses_nothing(more: Header) -> None:
    image = fetch("cross-site", "no-cors", "image")
    for said in ([*image, more], [more, *image]):
        assert forbids_encoding([*said, *CREDENTIALS["cookie"]])


@pytest.mark.parametrize("first", ["cors", "navigate"])
def test_two_modes_are_none(first: str) -> None:
    given = [*fetch("cross-site", first, "document"), (b"sec-fetch-mode", b"no-cors"), *CREDENTIALS["cookie"]]
    assert forbids_encoding(given)


@pytest.mark.parametrize("value", [b"no-transform", b"max-age=0, No-Transform"])
def test_a_request_can_forbid_the_transformation(value: bytes) -> None:
    assert forbids_encoding(Unchangeable([(b"host", b"a"), (b"cache-control", value)]))
    assert forbids_encoding(Unchangeable([(b"cache-control", b"max-age=0"), (b"cache-control", value)]))
    assert not forbids_encoding(Unchangeable([(b"cache-control", b"max-age=0"), (b"x-cache-control", value)]))
    assert not forbids_encoding(Unchangeable([(b"cache-control", b'a="%s"' % value)]))


# What it costs

SHAPES: dict[str, Callable[[int], bytes]] = {
    "quotes": lambda size: b'"' * size,
    "one tag": lambda size: b'"' + b"a" * size + b'"',
    "a tag without an end": lambda size: b'W/"' + b"a" * size,
    "semicolons": lambda size: b'"' + b";" * size,
    "suffixes": lambda size: b'"' + b";gzip" * (size // 5),
    "tags": lambda size: b'"a;gzip", ' * (size // 10),
    "weak marks": lambda size: b"W/" * (size // 2),
    "backslashes": lambda size: b'"' + b"\\" * (size | 1),
    "commas": lambda size: b"," * size,
    "directives": lambda size: b'a="\\"",' * (size // 7),
}
READERS: dict[str, Callable[[bytes], object]] = {
    "tag": lambda value: encoded_tag(value, b"gzip", True),
    "condition": lambda value: condition(value, b"gzip"),
    "304": lambda value: not_modified([(b"etag", b'"a"')], [value], b"gzip", True),
    "cache-control": lambda value: forbids_transformation([value + b",no-transform"]),
    "vary": lambda value: varying([(b"vary", value)]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_value_of_eight_times_the_length_costs_about_eight_times_as_much(shape: str, reader: str) -> None:
    def cost(size: int) -> float:
        value, times = SHAPES[shape](size), []
        for _ in range(5):
            began = time.thread_time()
            READERS[reader](value)
            times.append(time.thread_time() - began)
        return min(times)

    assert cost(64 * 1024) < 32 * max(cost(8 * 1024), 1e-6)  # it would be 64 times if it were quadratic


@given(
    st.lists(
        st.tuples(names | st.sampled_from([b"if-match", b"if-none-match", b"if-range", b"range"]), st.binary()),
        max_size=5,
    )
)
def test_no_junk_is_an_error(given: list[Header]) -> None:
    conditions: Iterable[bytes] = [value for _, value in given]
    for suffix in (True, False):
        encoded(given, b"gzip", suffix, 1)
        rewritten(given, "GET", b"gzip", suffix)
        not_modified(given, conditions, b"gzip", suffix)
    forbids_transformation(conditions)
    forbids_encoding(given)
