"""How far the syncs of a run are: rows done, how fast, and what a destination waits for. Never a key."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Going:
    destination: str
    rows: int
    began: float
    done: int = 0


class Progress:
    """Counts what every sync under way has done; `tell` is given a line for each every `every_seconds`.

    The engine calls it; whoever watches reads `lines`.
    """

    def __init__(self, tell: Callable[[list[str]], None] | None = None, every_seconds: float = 10.0) -> None:
        self.tell = tell
        self.every_seconds = every_seconds
        self._going: dict[str, _Going] = {}
        self._waits: dict[str, str] = {}

    def planned(self, sync_name: str, destination: str, rows: int) -> None:
        """A sync has so many operations to deliver."""
        self._going[sync_name] = _Going(destination, rows, time.monotonic())

    def done(self, sync_name: str, rows: int) -> None:
        """So many of them have ended."""
        if sync_name in self._going:
            self._going[sync_name].done += rows

    def waits(self, destination: str, what: str | None) -> None:
        """A destination waits for something, or does not any more."""
        if what is None:
            self._waits.pop(destination, None)
        else:
            self._waits[destination] = what

    def ended(self, sync_name: str) -> None:
        """A sync is not under way any more."""
        self._going.pop(sync_name, None)

    def lines(self) -> list[str]:
        """One for each sync under way."""
        return [self._line(name, going) for name, going in sorted(self._going.items())]

    def _line(self, name: str, going: _Going) -> str:
        seconds = time.monotonic() - going.began
        rate = f", {going.done / seconds:,.0f} a second" if going.done and seconds > 0 else ""
        waits = self._waits.get(going.destination)
        waiting = f"; {going.destination} waits: {waits}" if waits else ""
        return f"{name}: {going.done:,} of {going.rows:,} rows done{rate}{waiting}"
