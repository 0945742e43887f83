"""When a session ends, and when it is worth telling that it goes on."""

from __future__ import annotations

from typing import NamedTuple

CLOCK_SKEW = 30  # seconds by which the clocks of two machines may differ
LONGEST = 400 * 86_400  # RFC 6265bis §5.5: browsers keep no cookie for longer


class Lifetimes(NamedTuple):
    """The timeouts of a session, in seconds.

    Attributes:
        max_age: Of the cookie; None for as long as the browser runs.
        idle: Since it was last seen.
        absolute: Since it began; None for no such limit.
    """

    max_age: int | None
    idle: int
    absolute: int | None

    def expires(self, created: int, seen: int) -> int:
        """When a session ends if nobody touches it again."""
        idle = seen + self.idle
        return idle if self.absolute is None else min(idle, created + self.absolute)

    def are_over(self, created: int, seen: int, now: int) -> bool:
        """Whether a session has ended; one from the future never began."""
        return self.expires(created, seen) < now or max(created, seen) > now + CLOCK_SKEW

    def are_worth_renewing(self, seen: int, now: int) -> bool:
        """Whether a tenth of the idle time has gone: then, and no sooner, a session that was only read is renewed."""
        return now - seen >= self.idle / 10

    def age(self, expires: int, now: int) -> int | None:
        """Max-Age of the cookie."""
        return None if self.max_age is None else min(self.max_age, expires - now)
