"""An event loop whose time passes only when nothing is left to do: waits are free and keep their order."""

import asyncio
import selectors
from datetime import datetime, timedelta
from typing import Any

from tests.activation.world import START


class _Selector(selectors.SelectSelector):
    """Never waits: what the loop would have waited for is added to its time."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        if not ready and timeout:
            self.elapsed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`loop.time()` begins at 0 and jumps to the next wait that is over."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.elapsed


class VirtualTime:
    """A clock for an engine that runs in `new_loop`; waits are asyncio's own."""

    def __init__(self) -> None:
        self._loop: VirtualLoop | None = None
        self._before = 0.0

    def new_loop(self) -> VirtualLoop:
        self._before = self.elapsed
        self._loop = VirtualLoop()
        return self._loop

    @property
    def elapsed(self) -> float:
        """Seconds that all loops so far have passed."""
        return self._before + (self._loop.time() if self._loop else 0.0)

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)
