"""A channel in memory, for tests in virtual time: how long it takes and what it answers is told to it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

from activation.adapters.base import (
    DELIVERED,
    Adapter,
    AdapterConfig,
    Batch,
    Capabilities,
    Outcome,
    OutcomeKind,
    Page,
    Rate,
    Surroundings,
    Target,
)
from activation.limits import RateWindows
from activation.outside import OpenDestination

CAPABILITIES = Capabilities(
    modes=frozenset({"mirror", "mirror_exclusive"}),
    max_batch_rows=4,
    max_batch_bytes=1_000_000,
    rates=(),
    idempotency_lifetime=timedelta(hours=24),
    can_read_back=False,
    read_back_settles=timedelta(0),
    can_list_members=True,
    concurrency=4,
)
DEAD = Outcome(OutcomeKind.DEFERRED, "unreachable", concerns_batch=True)
TIMED_OUT = Outcome(OutcomeKind.UNKNOWN, "timeout", concerns_batch=True)
REFUSED = Outcome(OutcomeKind.REJECTED, "http_400", concerns_batch=True)


@dataclass
class Request:
    """One batch that arrived: when (seconds of the loop), its keys in order, and when it was answered."""

    began: float
    sync_name: str
    keys: list[str]
    kinds: list[str]
    ended: float | None = None


@dataclass
class Channel(Adapter):
    """`answer` makes the outcome of each operation; `requests` is what arrived, in order.

    `on_the_way`: seconds that the n-th request (0, 1, …) travels. `pages`: what it lists; `listed_at`:
    when it was asked for each.
    """

    seconds: float = 1.0
    on_the_way: Callable[[int], float] = lambda _: 0.0
    sent: int = 0
    seconds_to_list: float = 0.0
    pages: Sequence[dict[str, str] | Outcome] = ({},)
    listed_at: list[float] = field(default_factory=list)
    answer: Callable[[Batch], Sequence[Outcome]] = lambda batch: [DELIVERED] * len(batch.operations)
    requests: list[Request] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    is_open: bool = False

    @classmethod
    def build(cls, config: AdapterConfig, surroundings: Surroundings) -> Self:  # noqa: ARG003
        return cls()

    @classmethod
    def capabilities(cls, config: AdapterConfig) -> Capabilities:  # noqa: ARG003
        return CAPABILITIES

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        assert self.is_open
        loop = asyncio.get_running_loop()
        travels = self.on_the_way(self.sent)
        self.sent += 1
        if travels:
            await asyncio.sleep(travels)
        request = Request(
            loop.time(),
            batch.target.sync_name,
            [operation.destination_key for operation in batch.operations],
            [operation.kind.value for operation in batch.operations],
        )
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        request.ended = loop.time()
        return self.answer(batch)

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:  # noqa: ARG002
        self.listed_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds_to_list)
        number = int(after or 0)
        page = self.pages[number]
        is_last = number + 1 == len(self.pages)
        return page if isinstance(page, Outcome) else Page(page, None if is_last else str(number + 1))

    async def __aenter__(self) -> Self:
        assert not self.is_open, "opened twice"
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False

    def opened(self, *rates: Rate, **capabilities: object) -> OpenDestination:
        can = replace(CAPABILITIES, rates=rates, **capabilities)  # type: ignore[arg-type]
        return OpenDestination(self, can, RateWindows(rates))


def always(outcome: Outcome) -> Callable[[Batch], Sequence[Outcome]]:
    return lambda batch: [outcome] * len(batch.operations)
