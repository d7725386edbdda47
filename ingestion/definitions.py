"""Definitions (contracts, syncs, audiences, policies) as immutable rows with the hash of their content."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa

from ingestion.raw_tables import DEFINITIONS
from ingestion.warehouse import RawWarehouse


@dataclass(frozen=True)
class Definition:
    """One reviewed file as it stood when it was loaded; `content` is its text."""

    kind: Literal["contract", "sync", "audience", "destination", "policy"]
    name: str
    version: str
    content: str

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content: the same text has the same hash."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def new_definitions(raw: RawWarehouse, definitions: Iterable[Definition], loaded_at: datetime) -> pa.Table:
    """The rows of raw.definitions for those whose (kind, name, content) is not there yet."""
    known = set(raw.connection.execute("select kind, name, content_hash from raw.definitions").fetchall())
    rows = {
        (each.kind, each.name, each.content_hash): {
            "kind": each.kind,
            "name": each.name,
            "version": each.version,
            "content_hash": each.content_hash,
            "content": each.content,
            "loaded_at": loaded_at,
        }
        for each in definitions
    }
    return pa.Table.from_pylist(
        [row for place, row in sorted(rows.items()) if place not in known], schema=DEFINITIONS
    )
