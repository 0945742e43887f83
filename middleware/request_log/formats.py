"""A record as a line of text.

Spec: Apache httpd, mod_log_config (``combined``); RFC 3339 (times in JSON).
"""

from __future__ import annotations

import json
import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .record import RequestRecord

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEFT = 499  # nginx's status of a request whose client left before the response
_RED, _YELLOW, _CYAN, _GREEN, _DIM = (f"\x1b[{number}m" for number in (31, 33, 36, 32, 2))
_END = "\x1b[0m"
_json = json.JSONEncoder(separators=(",", ":")).encode


def plain(record: RequestRecord) -> str:
    """``GET /items/42 200 12.3 ms 1.2 kB``: the message where something else writes time and level."""
    return f"{_method(record)} {record.target} {record.status or _LEFT} {' '.join(_measures(record))}"


def dev(record: RequestRecord, *, colour: bool = False) -> str:
    """A line for a terminal: the time of day when it was over, then the same in columns."""
    moment, status = clock(record.time + record.duration), record.status or _LEFT
    what, measures = f"{_method(record):<4} {record.target}", "  ".join(_measures(record))
    if not colour:
        return f"{moment} {status} {what}  {measures}"
    return f"{_DIM}{moment}{_END} {_colour(record)}{status}{_END} {what}  {_DIM}{measures}{_END}"


def clock(moment: float) -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def combined(record: RequestRecord) -> str:
    """A line of httpd's and nginx' combined log format, for all that reads those."""
    line = f"{record.method} {record.target} HTTP/{record.http_version}"
    return (
        f"{_word(record.client)} - {_word(record.user)} {_received(int(record.time))}"
        f' "{_quoted(line)}" {record.status or _LEFT} {record.bytes_sent or "-"}'
        f' "{_quoted(record.referer or "-")}" "{_quoted(record.user_agent or "-")}"'
    )


def in_json(moment: float, level: int, fields: dict[str, Any]) -> str:
    """A line of JSON, with the fields of a record."""
    return _json({"timestamp": _stamp(moment), "level": logging.getLevelName(level), **fields})


def _method(record: RequestRecord) -> str:
    return "WS" if record.kind == "websocket" else record.method


def _measures(record: RequestRecord) -> list[str]:
    measures = [_seconds(record.duration)]
    if record.kind == "websocket":
        measures.append(f"{record.messages_received} in, {record.messages_sent} out")
        if record.close_code is not None and record.complete:
            measures.append(f"closed with {record.close_code} by {record.closed_by}")
    elif record.bytes_sent is not None:
        measures.append(_size(record.bytes_sent))
    if record.location is not None:
        measures.append(f"to {record.location}")
    if record.outcome != "completed":
        measures.append(record.outcome.replace("_", " "))
    if record.error_type is not None:
        measures.append(record.error_type)
    return measures


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _colour(record: RequestRecord) -> str:
    status = record.status or _LEFT
    if record.outcome == "failed" or status >= 500:
        return _RED
    return _YELLOW if status >= 400 else _CYAN if status >= 300 else _GREEN


def _word(text: str | None) -> str:
    """``text`` where a space ends the field, and ``[`` begins the next one for goaccess."""
    return text.replace(" ", "\\x20").replace("[", "\\x5b").replace('"', '\\"') if text else "-"


def _quoted(text: str) -> str:
    """``text`` between quotation marks."""
    return text.replace('"', '\\"') if '"' in text else text


@lru_cache(1)
def _received(second: int) -> str:
    # Not strftime: its months are those of the locale.
    now = time.gmtime(second)
    return f"[{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S', now)} +0000]"


def _stamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{_day_and_time(whole)}.{int((seconds - whole) * 1e6):06}Z"


@lru_cache(1)
def _day_and_time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
