"""Learns anew what a destination holds: what was lost there comes back, what is left over can go."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from activation.config import Sync
from activation.intents import forget
from activation.ledger import Ledger, Transaction
from activation.listing import Listing
from activation.sql_files import read_sql

CHUNK_ROWS = 5_000
NEVER_SENT = "unknown"  # a payload hash that no payload has: the next plan updates the key


@dataclass(frozen=True)
class Resync:
    """What the acknowledged state became: how many keys were dropped, how many differ, how many stand."""

    dropped: int
    different: int
    unchanged: int
    is_listed: bool


def resync(ledger: Ledger, sync: Sync, listed: Listing | None) -> Resync:
    """Bring the acknowledged state of a sync to what the destination lists.

    Keys that it does not have any more are dropped, and come again with the next plan; keys whose fields
    differ are noted so, and are updated. None where a destination cannot list: then every key counts as
    different, and can still be removed. Keys that somebody else brought are not taken over. A field that is
    left out when it is null makes no difference.
    """
    dropped = different = unchanged = 0
    with ledger.write() as transaction:
        for rows in _acknowledged(transaction, sync.name):
            gone, changed = [], []
            for key, payload_hash, payload in rows:
                fields = None if listed is None else listed.fields(key)
                if listed is not None and fields is None:
                    gone.append(key)
                elif fields is None or not _is_same(fields, payload_hash, payload):
                    changed.append(key)
            _note_different(transaction, sync.name, changed)
            forget(transaction, sync.name, gone)
            dropped += len(gone)
            different += len(changed)
            unchanged += len(rows) - len(gone) - len(changed)
    return Resync(dropped, different, unchanged, listed is not None)


def _acknowledged(transaction: Transaction, sync_name: str) -> Iterator[list[tuple[str, str, str | None]]]:
    """(key, hash, payload) of all that was acknowledged, a part at a time; it may be changed in between."""
    after = ""  # no key is empty
    while rows := transaction.execute(
        read_sql("resync_rows"), {"sync_name": sync_name, "after": after, "rows": CHUNK_ROWS}
    ).fetchall():
        yield rows
        after = rows[-1][0]


def _note_different(transaction: Transaction, sync_name: str, keys: Sequence[str]) -> None:
    transaction.connection.executemany(
        "update acknowledged set payload_hash = ?, payload = null, ledger_seq = ?"
        " where sync_name = ? and destination_key = ?",
        [(NEVER_SENT, transaction.ledger_seq, sync_name, key) for key in keys],
    )


def _is_same(listed: str, payload_hash: str, payload: str | None) -> bool:
    """Whether the destination has every field as it was sent; by the hash where the payload is not kept."""
    if payload is None:
        return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() == payload_hash
    held, wanted = orjson.loads(listed), orjson.loads(payload)
    return all(field in held and held[field] == wanted[field] for field in wanted)
