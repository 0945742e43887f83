"""``make bench``: every room's benchmarks, one after the other."""

from tests.benchmarks import routing

for room in (routing,):
    room.main()
