"""``make bench``: every room's benchmarks, one after the other, or those of ``python -m tests.benchmarks sessions``."""

import sys

from tests.benchmarks import compression, cors, routing, sessions

ROOMS = {"routing": routing, "cors": cors, "compression": compression, "sessions": sessions}

for name in sys.argv[1:] or ROOMS:
    ROOMS[name].main()
