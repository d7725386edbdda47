"""How long the engine tries, waits and lets others wait."""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from activation.breaker import Tolerance
from activation.sync_file import Outage, Retry


@dataclass(frozen=True)
class Patience:
    """How long the engine tries; waits grow by `growth` from `first_wait` to `longest_wait`.

    A destination's breaker opens after `failures_in_a_row`; one that has taken nothing for `give_up_after` is
    left to the next run. `drain` is what a run that is asked to stop gives to what is in flight.
    """

    first_wait: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(seconds=60)
    growth: float = 2.0
    failures_in_a_row: int = 4
    give_up_after: timedelta = timedelta(seconds=60)
    unknown_attempts: int = 4
    operation_attempts: int = 5
    lease: timedelta = timedelta(seconds=120)
    denials_max_age: timedelta = timedelta(hours=24)
    drain: timedelta = timedelta(seconds=25)
    answers: timedelta = timedelta(seconds=60)  # how long a run waits for answers to what was accepted

    def as_told(self, retry: Retry) -> "Patience":
        """The same, but for what a sync's file says."""
        told: dict[str, Any] = {
            "operation_attempts": retry.attempts,
            "first_wait": _seconds(retry.first_wait_seconds),
            "longest_wait": _seconds(retry.longest_wait_seconds),
            "answers": _seconds(retry.answers_seconds),
        }
        return replace(self, **{name: value for name, value in told.items() if value is not None})

    def tolerance(self, destination: str, outage: Outage) -> Tolerance:
        """What a destination's breaker is given: ours, but for what destinations.yml says."""
        give_up_after = _seconds(outage.give_up_after_seconds)
        return Tolerance(
            outage.failures_in_a_row or self.failures_in_a_row,
            lambda openings: self.wait(openings, destination),
            self.give_up_after if give_up_after is None else give_up_after,
        )

    def wait(self, failures: int, name: str) -> timedelta:
        """Wait before try number `failures` + 1; the jitter (up to a quarter) is a hash of the name."""
        plain = min(self.first_wait * self.growth ** (failures - 1), self.longest_wait)
        spread = hashlib.sha256(f"{name}:{failures}".encode()).digest()[0] / 255
        return plain * (1 + spread / 4)


def _seconds(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)
