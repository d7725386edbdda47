"""What a consumer of a stream has to do; one more kind of stream is one more file with this class.

The promise of the whole stands on three points. A position is a whole number that grows within its partition
and names one message for ever. `poll` gives the messages of a partition in that order. After `start_at`,
`poll` gives nothing before the positions named there. Then each message is in the event log exactly once,
however often consumers are killed: see ingestion/streams/positions.py.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """One message as it stands in the stream; `value` is None where the stream says that it was deleted."""

    partition: str
    position: int
    value: bytes | None


# Gives, when asked, the next position of each partition that the event log already holds messages of.
NextPositions = Callable[[], Mapping[str, int]]


class Consumer(Protocol):
    """A connection to one stream. What passes by itself is waited out inside and not raised."""

    async def start(self, next_positions: NextPositions) -> None:
        """Connect; ask `next_positions` whenever partitions become this consumer's, and begin there."""
        ...

    def undisturbed(self) -> AbstractAsyncContextManager[object]:
        """While inside, no partition is given to another consumer: from the poll to the commit."""
        ...

    async def poll(self) -> Sequence[Message]:
        """The next messages, at most some thousands; empty when none came for about a second."""
        ...

    async def commit(self, next_positions: Mapping[str, int]) -> None:
        """Everything before these positions is durable; others may begin there."""
        ...

    async def close(self) -> None:
        """Let go of the stream, so that others take over at once."""
        ...
