"""What a person follows while a run is going on: one line per step, on stderr."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from orchestration.run import StepEvent
from orchestration.statuses import STANDS, STATUS

SUMMARY = "summary"


class Progress:
    """A spinner for the step at work on a terminal; in a log, one line when a step has ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def show(self, event: StepEvent) -> None:
        """Take note of one step event."""
        if event.kind == "started":
            self._spin(readable(event.step))
            return
        self._stop()
        if event.kind == "ended":
            return
        failed = event.kind == "failed"
        mark, style = ("failed", "red") if failed else ("done", "green")
        name, told = escape(readable(event.step)), escape(line(event))
        self._console.print(
            f"[{style}]{mark:6}[/] {name:34} {event.seconds:6.1f} s  {told}",
            soft_wrap=True,
            highlight=False,
        )

    def close(self) -> None:
        """Take the spinner off."""
        self._stop()

    def _spin(self, what: str) -> None:
        if self._console.is_terminal:
            self._status = self._console.status(what)
            self._status.start()

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def readable(step: str) -> str:
    """`syncs__newsletter_gb_email` is `sync newsletter_gb_email`."""
    group, _, name = step.partition("__")
    return f"{group.removesuffix('s')} {name}" if name else step.replace("_", " ")


def line(event: StepEvent) -> str:
    """What the step reports of itself; the dbt step is counted from its assets and checks."""
    for values in event.metadata.values():
        if SUMMARY in values:
            return str(values[SUMMARY])
    told = []
    if event.metadata:
        standing = sum(values.get(STATUS) == STANDS for values in event.metadata.values())
        told.append(f"{len(event.metadata) - standing} tables and views built")
        if standing:
            told.append(f"{standing} stand because nothing that they read has changed")
    if event.checks:
        failed = f", failed: {', '.join(event.failed_checks)}" if event.failed_checks else ""
        told.append(f"{event.checks - len(event.failed_checks)} of {event.checks} checks passed{failed}")
    return ", ".join(told)


@contextmanager
def private_console() -> Iterator[Console]:
    """A console on a copy of stderr: it keeps speaking while a run's own output is captured."""
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as stream:
        yield Console(file=stream, force_terminal=os.isatty(2))
