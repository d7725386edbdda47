"""The destinations of one run: built when first asked for, closed with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from activation.adapters.base import Surroundings
from activation.config import Destination
from activation.limits import GRAIN, RateWindows, SharedRateWindows
from activation.outside import OpenDestination
from activation.sandbox.server import SandboxServer
from activation.times import Clock


class Destinations:
    """The destinations of one run, built when first asked for; the sandbox is served only if one needs it."""

    def __init__(
        self,
        *,
        files_root: Path,
        sandbox_path: Path,
        clock: Clock,
        resolve_secret: Callable[[str], str],
        rates_folder: Path | None,
        stack: ExitStack,
    ) -> None:
        self._files_root = files_root
        self._sandbox_path = sandbox_path
        self._clock = clock
        self._resolve_secret = resolve_secret
        self._rates_folder = rates_folder
        self._stack = stack
        self._open: dict[Destination, OpenDestination] = {}
        self._sandbox: SandboxServer | None = None

    def get(self, destination: Destination) -> OpenDestination:
        """The open destination of that definition."""
        if destination not in self._open:
            surroundings = Surroundings(
                destination.name, self._files_root, lambda: self.sandbox().url, self._resolve_secret
            )
            self._open[destination] = OpenDestination(
                destination.adapter.build(destination.config, surroundings),
                destination.capabilities,
                self._windows(destination),
            )
        return self._open[destination]

    def _windows(self, destination: Destination) -> RateWindows | SharedRateWindows:
        rates = destination.capabilities.rates
        if self._rates_folder is None:
            return RateWindows(rates, margin=GRAIN)
        shared = SharedRateWindows(self._rates_folder / f"{destination.name}.sqlite", rates, margin=GRAIN)
        self._stack.callback(shared.close)
        return shared

    def sandbox(self) -> SandboxServer:
        """The built-in sandbox, started on a free port of loopback when first asked for."""
        if self._sandbox is None:
            self._sandbox = self._stack.enter_context(SandboxServer(self._sandbox_path, clock=self._clock))
        return self._sandbox


@contextmanager
def open_destinations(
    *,
    files_root: Path,
    sandbox_path: Path,
    clock: Clock,
    resolve_secret: Callable[[str], str],
    rates_folder: Path | None = None,
) -> Iterator[Destinations]:
    """Destinations for the length of a run; a sandbox that was started is stopped at the end.

    With a `rates_folder`, every process that is given the same one keeps each destination's limit together.
    """
    with ExitStack() as stack:
        yield Destinations(
            files_root=files_root,
            sandbox_path=sandbox_path,
            clock=clock,
            resolve_secret=resolve_secret,
            rates_folder=rates_folder,
            stack=stack,
        )
