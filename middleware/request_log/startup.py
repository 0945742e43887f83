"""What is told once, when the first connection comes: what keeps the lines away, what doubles them."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from .output import silenced_by
from .routes import django_routes

if TYPE_CHECKING:
    from .log import Log

# The loggers of the servers' own lines, and what keeps them from writing those.
_SERVERS = {
    "uvicorn.access": "uvicorn --no-access-log",
    "hypercorn.access": "hypercorn without --access-logfile",
    "_granian.access": "granian --no-access-log",
    "gunicorn.access": "gunicorn without --access-logfile",
}


def begin(log: Log) -> None:
    """Look once at what is there: Django, the configuration of logging, the server's own log."""
    log.has_begun = True
    django_routes()
    silence = silenced_by(log.logger)
    if silence is not None:
        log.say("startup", logging.WARNING, f"requests are not logged: {silence}")
        return
    for remedy in _doubling():
        log.say("startup", logging.INFO, f"the server logs each request as well; to have one line, run {remedy}")


def _doubling() -> list[str]:
    remedies = [remedy for name, remedy in _SERVERS.items() if _speaks(name)]
    if "daphne.cli" in sys.modules:  # its lines go to a stream of its own
        remedies.append("daphne -v 0")
    return remedies


def _speaks(name: str) -> bool:
    logger = logging.root.manager.loggerDict.get(name)
    return isinstance(logger, logging.Logger) and logger.isEnabledFor(logging.INFO) and logger.hasHandlers()
