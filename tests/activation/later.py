"""A world whose sandbox answers later: 202 and a receipt, and the work done when its time has come."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx

from activation.ledger_places import LedgerPlace
from activation.outside import Engine
from activation.patience import Patience
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from tests.activation.world import World, write_definitions

HOUR = timedelta(hours=1)
IMPATIENT = Patience(answers=timedelta(0))
DESTINATIONS = """
sandbox:
  type: webhook
  description: a destination that answers later, within an hour
  url: {url}
  max_batch_rows: 4
  timeout_seconds: 0.5
  can_resolve: true
  resolves_within_seconds: 3600
{settings}
files: {{type: file, description: files}}
"""
OPAQUE = "  idempotency_lifetime_hours: 0\n  can_read_back: false\n"
READABLE = "  idempotency_lifetime_hours: 0\n"


class Later(World):
    """The same small world around a sandbox that answers later."""

    def __init__(
        self, folder: Path, place: LedgerPlace, stack: ExitStack, rules: SandboxRules, settings: str
    ) -> None:
        super().__init__(folder, place, stack)
        self._server = stack.enter_context(
            SandboxServer(folder / "later.sqlite", clock=self.time, rules=rules)
        )
        text = DESTINATIONS.format(url=self._server.url, settings=settings)
        write_definitions(folder, destinations=text)

    @property
    def sandbox(self) -> SandboxServer:
        return self._server

    def pass_time(self, time: timedelta) -> None:
        """Let time pass, and the sandbox do what is due by then."""
        self.time.now += time
        httpx.get(f"{self._server.url}/lists").raise_for_status()
        self.refresh_denials()

    def dying(self, point: str, occurrence: int = 1) -> Engine:
        """An engine whose worker is gone at a point, with nothing tidied up."""
        passed = 0

        def at(reached: str) -> None:
            nonlocal passed
            passed += reached == point
            if reached == point and passed == occurrence:
                raise KeyboardInterrupt

        return replace(self.engine, at=at, worker_name=f"dies at {point}", is_alive=lambda _: False)

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """(delivered, accepted, in doubt) of each run, as the warehouse has them."""
        rows = self.warehouse.execute(
            "select sync_run_id, delivered, accepted, in_doubt from activation.sync_runs"
        ).fetchall()
        return {run: (delivered, accepted, in_doubt) for run, delivered, accepted, in_doubt in rows}


Open = Callable[..., Later]


@contextmanager
def open_later(folder: Path, place: LedgerPlace) -> Iterator[Open]:
    """A function that opens such a world: seconds until the work is done, and the destination's settings."""
    with ExitStack() as stack:

        def opened(finish: float = 600.0, settings: str = "", reject_keys: str | None = None) -> Later:
            rules = SandboxRules(reject_keys=reject_keys, seconds_to_finish=finish)
            return Later(folder, place, stack, rules, settings)

        yield opened
