"""What the ledger asks of the database that keeps it; SQLite and PostgreSQL each give it in a file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

SCHEMA_VERSION = 5

Values = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """What a statement gave: rows, and how many it changed."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""

    @property
    def description(self) -> Any:
        """One tuple for each column, its name first."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchmany(self, size: int, /) -> list[Any]:
        """The next rows, at most so many; an empty list at the end."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """The rows, one by one."""


class Connection(Protocol):
    """Runs statements inside one transaction; values stand in them as `?` or `:name`, on either store."""

    def execute(self, statement: str, values: Values = ()) -> Cursor:
        """Run one statement."""

    def executemany(self, statement: str, rows: Iterable[Values]) -> Cursor:
        """Run one statement for each row of values; `rowcount` is the sum."""

    def stream(self, statement: str, values: Values = ()) -> AbstractContextManager[Cursor]:
        """Run a query whose rows are more than memory should hold at once; `fetchmany` them."""

    def restart_counters(self) -> None:
        """Number new rows after those that stand there, once rows came with their numbers."""


@dataclass(frozen=True)
class Examination:
    """How a ledger was found without changing it; `problem` is empty when it is whole."""

    exists: bool
    problem: str = ""


class Store(ABC):
    """One database with a ledger in it. What its methods raise becomes a Ledger…Error in `clear_errors`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for people; never with a password."""

    @property
    @abstractmethod
    def mend(self) -> str:
        """What a person does when it is damaged."""

    @abstractmethod
    def open(self) -> None:
        """Connect; create the tables in one transaction where there are none; refuse what is no ledger."""

    @abstractmethod
    def close(self) -> None:
        """Let go; what was not committed is undone."""

    @abstractmethod
    def begin_write(self) -> Connection:
        """Begin a transaction that may write, and sees what is committed before its first statement ends."""

    @abstractmethod
    def begin_read(self) -> Connection:
        """Begin a transaction that sees one consistent picture and cannot write."""

    @abstractmethod
    def commit(self) -> None:
        """Make the transaction durable; on disk when this returns; when it raises nothing is sure."""

    @abstractmethod
    def rollback(self) -> None:
        """Undo the transaction, if one is open; never raises."""

    @abstractmethod
    def clear_errors(self) -> AbstractContextManager[None]:
        """Turn what the database raises into Ledger…Error: what, where, what next; never a row's values."""

    @abstractmethod
    def examine(self) -> Examination:
        """Look whether the ledger is there and whole; creates and changes nothing."""
