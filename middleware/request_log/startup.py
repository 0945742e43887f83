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
    "gunicorn.access": "gunicorn without --access-logfile",
}


def begin(log: Log) -> None:
    """Look at what is there when the first connection comes: Django, the configuration of logging."""
    log.has_begun = True
    with log.guarded():
        django_routes()
        silence = silenced_by(log.logger)
        if silence is not None:
            log.say("startup", logging.WARNING, silence)


def serve(log: Log) -> None:
    """Look for the server's own log when the first request comes: hypercorn has it no earlier."""
    log.has_served = True
    if not log.has_begun:
        begin(log)
    with log.guarded():
        for remedy in _doubling() if silenced_by(log.logger) is None else ():
            log.say("startup", logging.INFO, f"the server logs each request as well; to have one line, run {remedy}")


def _doubling() -> list[str]:
    remedies = [remedy for name, remedy in _SERVERS.items() if _speaks(name)]
    # These write by loggers that say nothing about it, or by none.
    if "granian" in sys.modules and "--access-log" in sys.argv:
        remedies.append("granian --no-access-log")
    if "daphne.cli" in sys.modules and "--access-log" not in sys.argv:
        remedies.append("daphne --access-log /dev/null")
    return remedies


def _speaks(name: str) -> bool:
    logger = logging.root.manager.loggerDict.get(name)
    return isinstance(logger, logging.Logger) and logger.isEnabledFor(logging.INFO) and logger.hasHandlers()
