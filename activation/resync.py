"""Learns anew what a destination holds: what was lost there comes back, what is left over can go."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from activation.config import Sync
from activation.ledger import Ledger

NEVER_SENT = "unknown"  # a payload hash that no payload has: the next plan updates the key


@dataclass(frozen=True)
class Resync:
    """What the acknowledged state became: how many keys were dropped, how many differ, how many stand."""

    dropped: int
    different: int
    unchanged: int
    is_listed: bool


def resync(ledger: Ledger, sync: Sync, listed: Mapping[str, str] | None) -> Resync:
    """Bring the acknowledged state of a sync to what the destination lists (key -> fields as canonical JSON).

    Keys that it does not have any more are dropped, and come again with the next plan; keys whose fields
    differ are noted so, and are updated. None where a destination cannot list: then every key counts as
    different, and can still be removed. Keys that somebody else brought are not taken over. A field that is
    left out when it is null makes no difference.
    """
    with ledger.write() as transaction:
        rows = transaction.execute(
            "select destination_key, payload_hash, payload from acknowledged where sync_name = ?",
            (sync.name,),
        ).fetchall()
        if listed is None:
            changed = [(key, NEVER_SENT) for key, _, _ in rows]
            dropped: list[str] = []
        else:
            dropped = [key for key, _, _ in rows if key not in listed]
            changed = [
                (key, NEVER_SENT)
                for key, payload_hash, payload in rows
                if key in listed and not _is_same(listed[key], payload_hash, payload)
            ]
        transaction.connection.executemany(
            "update acknowledged set payload_hash = ?, payload = null, ledger_seq = ?"
            " where sync_name = ? and destination_key = ?",
            [(payload_hash, transaction.ledger_seq, sync.name, key) for key, payload_hash in changed],
        )
        transaction.connection.executemany(
            "insert into acknowledged_removals (sync_name, destination_key, ledger_seq) values (?, ?, ?)",
            [(sync.name, key, transaction.ledger_seq) for key in dropped],
        )
        transaction.connection.executemany(
            "delete from acknowledged where sync_name = ? and destination_key = ?",
            [(sync.name, key) for key in dropped],
        )
    return Resync(len(dropped), len(changed), len(rows) - len(dropped) - len(changed), listed is not None)


def _is_same(listed: str, payload_hash: str, payload: str | None) -> bool:
    """Whether the destination has every field as it was sent; by the hash where the payload is not kept."""
    if payload is None:
        return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() == payload_hash
    held, wanted = orjson.loads(listed), orjson.loads(payload)
    return all(field in held and held[field] == wanted[field] for field in wanted)
