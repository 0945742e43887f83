"""``make bench``: every room's benchmarks, one after the other."""

from tests.benchmarks import cors, routing

for room in (routing, cors):
    room.main()
