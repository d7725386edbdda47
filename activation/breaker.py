"""Keeps a destination that fails from being asked in vain: open, then one probe, then closed again.

Nothing here waits or reads a clock: time is an argument, and whoever asks does the waiting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class State(StrEnum):
    """Closed: requests pass. Open: none does. Half open: one probe is on its way, the others wait for it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Tolerance:
    """When a breaker opens, how long it stays so, and when it gives up.

    `cool_down` gives the wait after the n-th opening in a row (1, 2, …). A destination that has taken nothing
    for `give_up_after` is left to the next run.
    """

    failures_in_a_row: int
    cool_down: Callable[[int], timedelta]
    give_up_after: timedelta


class Breaker:
    """The state of one destination in one run, shared by everything that is sent there.

    `enter` gives a number that says when a request began: an answer from before the breaker opened last can
    close it, but cannot open it once more.
    """

    def __init__(self, destination: str, tolerance: Tolerance) -> None:
        self._destination = destination
        self._tolerance = tolerance
        self._cools_until: datetime | None = None
        self._asked_until: datetime | None = None  # by the destination itself; no success lifts that
        self._failing_since: datetime | None = None
        self._openings = 0
        self._era = 0
        self.state = State.CLOSED
        self.failures = 0
        self.given_up: str | None = None

    def opens_at(self, now: datetime) -> datetime | None:
        """Until when nobody may enter; None when somebody may, or when only a probe's answer can tell."""
        until = [moment for moment in (self._cools_until, self._asked_until) if moment and moment > now]
        return max(until, default=None)

    @property
    def waits_for_probe(self) -> bool:
        """Whether a probe is on its way, and nobody else may enter."""
        return self.state is State.HALF_OPEN

    def enter(self) -> int:
        """Let one request pass that `opens_at` and `waits_for_probe` did not forbid; returns its era."""
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
        return self._era

    def came_back_unsent(self, era: int) -> None:
        """A request that entered was not sent after all; if it was the probe, another may be it."""
        if self.state is State.HALF_OPEN and era == self._era:
            self.state = State.OPEN

    def succeeded(self) -> None:
        """The destination took a request, or refused rows of it one by one: it is there."""
        self.state = State.CLOSED
        self.failures = self._openings = 0
        self._failing_since = self._cools_until = None

    def failed(self, era: int, now: datetime, *, reason: str, retry_after: timedelta | None) -> None:
        """A request failed as a whole; a destination that says when to come back is taken at its word."""
        if era != self._era:
            return
        self.failures += 1
        self._failing_since = self._failing_since or now
        if retry_after is not None:
            asked_until = self.wait_as_asked(now + retry_after)
            if asked_until - self._failing_since > self._tolerance.give_up_after:
                self.given_up = (
                    f"{self._destination} asked to be left alone until {asked_until:%Y-%m-%d %H:%M} "
                    f"UTC ({reason}); what is left waits for the next run"
                )
        if self.state is State.CLOSED and self.failures < self._tolerance.failures_in_a_row:
            return
        self._openings += 1
        self._era += 1
        self.state = State.OPEN
        self._cools_until = now + self._tolerance.cool_down(self._openings)
        if (self.opens_at(now) or now) - self._failing_since > self._tolerance.give_up_after:
            self.given_up = (
                f"{self._destination} did not take a batch {self.failures} times in a row, for "
                f"{(now - self._failing_since).total_seconds():.0f} s ({reason}); what is left waits for the "
                "next run"
            )

    def wait_as_asked(self, until: datetime) -> datetime:
        """The destination asked to be left alone until then, or for longer before; gives until when it is."""
        self._asked_until = max(self._asked_until or until, until)
        return self._asked_until

    def give_up(self, reason: str) -> None:
        """No other request can succeed until a person acts."""
        self.given_up = f"{self._destination} answers nobody until a person acts: {reason}"
