"""``make bench``: all benchmarks, one after the other, or those of ``python -m tests.benchmarks sessions``."""

import sys

from tests.benchmarks import compression, cors, request_id, request_log, routing, sessions, together

PARTS = {
    "routing": routing,
    "cors": cors,
    "compression": compression,
    "sessions": sessions,
    "request_id": request_id,
    "request_log": request_log,
    "together": together,
}

for name in sys.argv[1:] or PARTS:
    PARTS[name].main()
