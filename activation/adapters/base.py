"""What a destination's adapter promises, and the data it exchanges with the delivery engine."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict


class OperationKind(StrEnum):
    """What is to happen to one person at one destination."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"
    ERASE = "erase"
    SEND = "send"  # a message: never diffed, one for each occurrence key


KINDS = {kind.value: kind for kind in OperationKind}  # looked up for each row: the enum itself takes 2 us


class OutcomeKind(StrEnum):
    """What a destination made of one operation."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"  # taken, not yet an acknowledgement
    REJECTED = "rejected"  # never send this again
    DEFERRED = "deferred"  # certainly not done; try later
    UNKNOWN = "unknown"  # may or may not have been done


def as_text(value: object) -> str:
    """A value of a payload in a place that has nothing but texts; null is the empty one there."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Operation(NamedTuple):
    """One operation as it leaves: `payload` is the canonical JSON text, frozen when it was planned.

    `destination_key` is the key field's value; of a send it is the occurrence key, and the address is in the
    payload like every other field.
    """

    operation_id: str
    kind: OperationKind
    destination_key: str
    payload: str | None


class AdapterConfig(BaseModel):
    """Settings of one destination; secrets are named here, never written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SyncOptions(BaseModel):
    """What one sync may choose at a destination of this type."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Target:
    """The place at a destination that one sync keeps: its list, the key field, and every field in order.

    `mode` is one of activation/modes.py: in mode `insert` an add must not change a key that is there already,
    in mode `update` an update must not add one; in every other mode both do either. In mode `append` every
    operation is a send, and `list_name` says which message.
    """

    sync_name: str
    mode: str
    list_name: str
    key_field: str
    fields: tuple[str, ...]
    options: SyncOptions


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations that travel together. Members, order and idempotency key stay the same at every attempt."""

    batch_id: int
    idempotency_key: str
    run_number: int
    target: Target
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One operation's answer.

    `concerns_batch` says that the answer was given to the whole request, not to this row.
    `stops_destination` says that no other request can succeed until a person acts.
    """

    kind: OutcomeKind
    reason: str | None = None
    retry_after: timedelta | None = None
    receipt: str | None = None
    concerns_batch: bool = False
    stops_destination: bool = False


DELIVERED = Outcome(OutcomeKind.DELIVERED)
# an answer to a question about receipts that tells nothing: all stays as it was
TELLS_NOTHING = Outcome(OutcomeKind.ACCEPTED, "unreadable_answer", concerns_batch=True)


def reason_of(outcomes: Sequence[Outcome]) -> str:
    """Why, in the words of the first outcome that has any."""
    return next((outcome.reason for outcome in outcomes if outcome.reason), "no reason given")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a destination gave for an operation that it accepted.

    `text` is what the adapter put into `Outcome.receipt`, and nobody else reads it: where a destination gives
    one job for a whole request, it holds the job and the row's place in it.
    """

    text: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what a list holds: destination key -> fields as canonical JSON text.

    `next` is what the adapter is given to ask for the part after it, None where there is none. `is_text`: the
    place has nothing but texts, so 10.00 comes back as "10.00" and null as "".
    """

    members: Mapping[str, str]
    next: str | None = None
    is_text: bool = False


@dataclass(frozen=True)
class Rate:
    """At most `limit` requests in every window of `seconds`."""

    limit: int
    seconds: float


@dataclass(frozen=True)
class Capabilities:
    """What a kind of destination can do, as data that the planner and the engine read.

    `modes` are names of activation/modes.py. `idempotency_lifetime` is how long the destination recognises a
    repeated key; None means not at all. `read_back_settles` is how long after a request was sent a read may
    still not see what it does: before that, "not there" is not believed. `concurrency` is how many requests
    may be in flight at once.

    `can_resolve` says that it may answer `accepted` and tells later what became of it. `resolves_within` is
    how long after that it may still be doing it: by then it is done, or will not be. An operation without an
    answer by then is read back, or is in doubt. One status request asks for at most `max_receipts` receipts,
    all of one batch.
    """

    modes: frozenset[str]
    max_batch_rows: int
    max_batch_bytes: int
    rates: tuple[Rate, ...]
    idempotency_lifetime: timedelta | None
    can_read_back: bool
    read_back_settles: timedelta
    can_list_members: bool
    can_resolve: bool = False
    resolves_within: timedelta = timedelta(0)
    max_receipts: int = 1
    concurrency: int = 4


@dataclass(frozen=True)
class Surroundings:
    """What every adapter may be given besides its own settings."""

    destination: str
    files_root: Path
    sandbox_url: Callable[[], str]
    resolve_secret: Callable[[str], str]


class Adapter(ABC):
    """Speaks one kind of destination's wire format. It never sleeps, retries, remembers or logs a payload."""

    type_name: ClassVar[str]
    config_type: ClassVar[type[AdapterConfig]]
    options_type: ClassVar[type[SyncOptions]] = SyncOptions

    @classmethod
    @abstractmethod
    def build(cls, config: AdapterConfig, surroundings: Surroundings) -> Self:
        """Make the adapter of one configured destination."""

    @classmethod
    @abstractmethod
    def capabilities(cls, config: AdapterConfig) -> Capabilities:
        """Say what this destination can do; needs no connection."""

    @abstractmethod
    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Send the batch once and answer one outcome per operation, in order; never raises for an answer."""

    async def resolve(
        self,
        target: Target,  # noqa: ARG002 - an adapter that can resolve has to know where to ask
        receipts: Sequence[Receipt],
    ) -> Sequence[Outcome]:
        """Ask once what became of accepted operations of one batch; one outcome per receipt, in order.

        `delivered`, `rejected`, `deferred` (certainly not done: send it again), `accepted` (still being
        worked on), `unknown` (the destination does not know the receipt any more). A request that failed
        tells nothing about any operation: `accepted`, with its reason and `concerns_batch`. Never raises for
        an answer.
        """
        return [Outcome(OutcomeKind.UNKNOWN, "cannot_resolve")] * len(receipts)

    async def read_back(self, batch: Batch) -> Sequence[Outcome]:
        """Ask the destination what it holds, and answer `delivered`, `deferred` (not there) or `unknown`."""
        return [Outcome(OutcomeKind.UNKNOWN, "no_read_back")] * len(batch.operations)

    async def read(self, target: Target, keys: Sequence[str]) -> dict[str, str]:
        """Destination key -> fields as JSON text, of those of the keys that the destination holds now.

        For people to look at; only asked where `can_read_back`. Raises DestinationDownError.
        """
        raise NotImplementedError(f"destinations of type {self.type_name} cannot be read")

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:
        """Ask once for a page of all that the destination holds: the first, or the one that `after` names.

        An outcome says why there is no page; never raises for an answer.
        """
        raise NotImplementedError(f"destinations of type {self.type_name} cannot list their members")

    async def finish(self, target: Target) -> None:  # noqa: B027 - most destinations have nothing to do
        """Called after the last batch of a sync run; may raise DestinationDownError."""

    async def __aenter__(self) -> Self:
        """Open connections; the same adapter may be entered again after it was left."""
        return self

    async def __aexit__(  # noqa: B027 - nothing is open by default
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close connections."""
