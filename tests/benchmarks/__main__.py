"""``make bench``: every room's benchmarks, one after the other."""

from tests.benchmarks import compression, cors, routing

for room in (routing, cors, compression):
    room.main()
