"""``make bench``: every room's benchmarks, one after the other."""

from tests.benchmarks import compression, cors, routing, sessions

for room in (routing, cors, compression, sessions):
    room.main()
