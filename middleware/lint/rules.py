"""What can be wrong with an ASGI conversation: the rules that Lint checks, and where they are written."""

from __future__ import annotations

import reprlib
from typing import Literal, NamedTuple

Side = Literal["application", "server"]


class Rule(NamedTuple):
    """One rule of the specification.

    Args:
        name: How errors and the documentation call it.
        promise: What the side that keeps it does.
        section: Where it is written.
        tolerated: Whether a breach is so usual that it is only warned about.
    """

    name: str
    promise: str
    section: str
    tolerated: bool = False


_WWW = "ASGI HTTP & WebSocket 2.5"
_LIFESPAN = "ASGI Lifespan 2.0"
_EXTENSIONS = "ASGI Extensions"
_ASGI = "ASGI 3.0"

# fmt: off
RULES = {rule.name: rule for rule in (
    Rule("scope-shape", "a scope has the keys of its protocol, of the right types", f"{_WWW}, Connection Scope"),
    Rule("scope-unchanged", "what stands in a received scope is not changed", f"{_ASGI}, Middleware"),
    Rule("message-shape", "a message is a dict of a known type with the right keys", f"{_ASGI}, Events"),
    Rule("message-unchanged", "a message is not changed by the side that received it", f"{_ASGI}, Middleware"),
    Rule("extension-offered", "an extension is used only if the scope offers it", f"{_EXTENSIONS}, Extensions"),
    Rule("one-receive", "an application waits for one message at a time", f"{_ASGI}, Applications", tolerated=True),
    Rule("nothing-after-return", "who has returned neither sends nor receives", f"{_ASGI}, Applications"),
    Rule("nothing-after-the-end", "nothing is sent after the last message", f"{_WWW}, Response Body"),

    Rule("header-pairs", "headers are pairs of byte strings", f"{_WWW}, Response Start"),
    Rule("header-name", "a header's name is a token", "RFC 9110 §5.1"),
    Rule("header-case", "the name of a sent header is in lower case", f"{_WWW}, Response Start", tolerated=True),
    Rule("header-value", "a header's value has no control character and no space around it", "RFC 9110 §5.5"),
    Rule("header-single", "Content-Length and Content-Type are sent once at most", "RFC 9110 §5.3"),
    Rule("header-forbidden", "the accepted subprotocol stands in its key, not in a header", f"{_WWW}, Accept"),

    Rule("request-order", "after the end of the request only http.disconnect follows", f"{_WWW}, Request"),
    Rule("response-order", "a response is one start, then its body", f"{_WWW}, Response Start"),
    Rule("response-complete", "a response is sent in full before the application returns", f"{_WWW}, Response Body"),
    Rule("content-length", "Content-Length is a number, that of the bytes in the body", "RFC 9110 §8.6"),
    Rule("length-of-nothing", "a 204 response announces no length", "RFC 9110 §8.6", tolerated=True),
    Rule("no-content", "a 204, 205 or 304 response has no content", "RFC 9110 §6.4.1"),
    Rule("head-content", "the response to HEAD has no content", "RFC 9110 §9.3.2", tolerated=True),
    Rule("trailers-promised", "trailers follow the body if the start promised them", f"{_EXTENSIONS}, HTTP Trailers"),
    Rule("debug-once", "debug information is sent once, before the start", f"{_EXTENSIONS}, Debug"),

    Rule("handshake-order", "websocket.connect and its answer come once, before any data", f"{_WWW}, Connect"),
    Rule("handshake-answered", "a handshake is accepted, closed or denied before the return", f"{_WWW}, Connect"),
    Rule("subprotocol-offered", "the accepted subprotocol is one that the client offered", "RFC 6455 §4.2.2"),
    Rule("websocket-data", "a websocket message carries either bytes or text", f"{_WWW}, Send"),
    Rule("close-code", "a close has a code that may be sent, its reason at most 123 bytes", "RFC 6455 §7.4, §5.5"),

    Rule("lifespan-order", "startup, then shutdown, each answered once", f"{_LIFESPAN}, Startup"),
    Rule("lifespan-answered", "a lifespan event is answered before the return", f"{_LIFESPAN}, Startup Complete"),
)}
# fmt: on


class Fault(NamedTuple):
    """A rule that one side has broken, and how."""

    side: Side
    rule: Rule
    detail: str


def fault(side: Side, rule: str, detail: str) -> Fault:
    """The fault of ``side`` against the rule of that name."""
    return Fault(side, RULES[rule], detail)


def short(value: object) -> str:
    """``value`` as an error text shows it: what somebody sent may be huge, or fail to show itself."""
    try:
        return reprlib.repr(value)
    except Exception:
        return f"a {type(value).__name__}"
