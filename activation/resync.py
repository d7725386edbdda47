"""Learns anew what a destination holds: what was lost there comes back, what is left over can go."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from activation.adapters.base import as_text
from activation.config import Sync
from activation.errors import LedgerBusyError
from activation.ledger import Ledger
from activation.listing import Listing
from activation.sql_files import read_sql
from activation.times import to_micros

CHUNK_ROWS = 5_000
NEVER_SENT = "unknown"  # a payload hash that no payload has: the next plan updates the key


@dataclass(frozen=True)
class AsOf:
    """What a list can know: what was acknowledged up to this step of the ledger, and before this moment."""

    ledger_seq: int
    moment: datetime

    @classmethod
    def now(cls, ledger: Ledger, now: datetime, *, settles: timedelta = timedelta(0)) -> "AsOf":
        """Asked for now, of a destination that shows what it did only so long after."""
        return cls(ledger.sequence(), now - settles)

    def knows(self, row: "_Row") -> bool:
        """Whether the list was late enough for that."""
        return row.ledger_seq <= self.ledger_seq and row.acknowledged_at <= to_micros(self.moment)


@dataclass(frozen=True)
class Resync:
    """What the acknowledged state became: how many keys were dropped, how many differ, how many stand.

    `recent`: acknowledged too late for the list to know; they are left as they are.
    """

    dropped: int
    different: int
    unchanged: int
    recent: int
    is_listed: bool


class _Row(NamedTuple):
    destination_key: str
    payload_hash: str
    payload: str | None
    acknowledged_at: int
    ledger_seq: int


def resync(ledger: Ledger, sync: Sync, listed: Listing | None, as_of: AsOf) -> Resync:
    """Bring the acknowledged state of a sync to what the destination lists, a part of it at a time.

    Keys that it does not have any more are dropped, and come again with the next plan; keys whose fields
    differ are noted so, and are updated. None where a destination cannot list: then every key counts as
    different, and can still be removed. Keys that somebody else brought are not taken over. A field that is
    left out when it is null makes no difference. What was acknowledged after `as_of`, and what is while this
    runs, stays: the list was too early for it. Raises LedgerBusyError in the midst; then it is done again.
    """
    found = Counter[str]()
    for rows in _parts(ledger, sync.name):
        known = [row for row in rows if as_of.knows(row)]
        held = {} if listed is None else listed.fields_of(row.destination_key for row in known)
        gone, changed = [], []
        for row in known:
            fields = held.get(row.destination_key)
            if listed is not None and fields is None:
                gone.append(row)
            elif listed is None or fields is None or not _is_same(fields, row, is_text=listed.is_text):
                changed.append(row)
        try:
            forgotten, noted = _write(ledger, sync.name, gone, changed)
        except LedgerBusyError as error:
            raise LedgerBusyError(
                f"The resync of {sync.name!r} ended early, after {found.total():,} keys; do it again. {error}"
            ) from error
        unchanged = len(known) - len(gone) - len(changed)
        recent = len(rows) - unchanged - forgotten - noted
        found += Counter(dropped=forgotten, different=noted, unchanged=unchanged, recent=recent)
    return Resync(
        found["dropped"], found["different"], found["unchanged"], found["recent"], listed is not None
    )


def _parts(ledger: Ledger, sync_name: str) -> Iterator[list[_Row]]:
    """What is acknowledged, in order of key; no lock is held in between."""
    after = ""  # no key is empty
    while True:
        with ledger.read() as connection:
            rows = connection.execute(
                read_sql("resync_rows"), {"sync_name": sync_name, "after": after, "rows": CHUNK_ROWS}
            ).fetchall()
        if not rows:
            return
        yield [_Row(*row) for row in rows]
        after = rows[-1][0]


def _write(ledger: Ledger, sync_name: str, gone: Sequence[_Row], changed: Sequence[_Row]) -> tuple[int, int]:
    """Forget the former and note the latter, where they are as they were; returns how many of each."""
    if not gone and not changed:
        return 0, 0
    with ledger.write() as transaction:
        connection, seq = transaction.connection, transaction.ledger_seq
        at = "where sync_name = ? and destination_key = ? and ledger_seq = ?"
        left = [(sync_name, row.destination_key, row.ledger_seq) for row in gone]
        connection.executemany(
            "insert into acknowledged_removals (sync_name, destination_key, ledger_seq)"
            f" select sync_name, destination_key, {seq} from acknowledged {at}",
            left,
        )
        forgotten = connection.executemany(f"delete from acknowledged {at}", left).rowcount if left else 0
        noted = (
            connection.executemany(
                f"update acknowledged set payload_hash = ?, payload = null, ledger_seq = ? {at}",
                [(NEVER_SENT, seq, sync_name, row.destination_key, row.ledger_seq) for row in changed],
            ).rowcount
            if changed
            else 0
        )
    return forgotten, noted


def _is_same(listed: str, row: _Row, *, is_text: bool) -> bool:
    """Whether the destination has every field as it was sent; by the hash where the payload is not kept."""
    if row.payload is None:
        return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() == row.payload_hash
    if listed == row.payload:
        return True
    held = json.loads(listed)
    wanted = json.loads(row.payload, parse_float=str if is_text else None)
    if is_text:
        wanted = {field: as_text(value) for field, value in wanted.items()}
    return all(
        field in held
        and held[field] == wanted[field]
        and isinstance(held[field], bool) == isinstance(wanted[field], bool)
        for field in wanted
    )
