"""The last lines of the request log, for the page.

They are noted by a filter that lets everything pass. It is not a handler: what no handler takes goes to the console, in
colours if that is a terminal.
"""

import logging
from collections import deque

lines = deque(maxlen=12)
"""The newest last; each as the page gets it."""

listeners = []
"""Functions that are called with each new line."""


def note(record):
    fields = vars(record)  # named as OpenTelemetry does
    if "url.path" in fields:  # else it is about no request
        is_websocket = "websocket.duration" in fields
        line = {
            "method": "WS" if is_websocket else fields["http.request.method"],
            "path": fields["url.path"],
            "status": fields.get("http.response.status_code"),
            "outcome": fields["outcome"],
            "close": fields.get("websocket.close_code"),
            "closed_by": fields.get("websocket.closed_by"),
            "seconds": fields["websocket.duration" if is_websocket else "http.server.request.duration"],
            "request_id": fields["request_id"],
            "trace_id": fields["trace_id"],
        }
        lines.append(line)
        for listener in listeners:
            listener(line)
    return True


logger = logging.getLogger("middleware.request_log")
logger.addFilter(note)
