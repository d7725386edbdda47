"""The sandbox's memory: lists of members, answers given, and a log of everything that arrived."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

SCHEMA = """
create table if not exists members (
    list_name text, key text, fields text not null, changed_in integer not null, primary key (list_name, key)
) without rowid;
create table if not exists requests (
    request_id integer primary key, method text, path text, idempotency_key text, body_hash text,
    status integer, operations integer, is_replay integer, fault text
);
create table if not exists arrivals (request_id integer primary key, arrived_at real not null);
create table if not exists effects (
    request_id integer, position integer, list_name text, key text, do text, status text, reason text
);
create table if not exists messages (
    message_id text, list_name text, key text, fields text not null, sent_in integer not null
);
create index if not exists messages_by_id on messages (message_id);
create table if not exists answers (
    idempotency_key text primary key, body_hash text not null, answer blob not null, answered_at real not null
);
create table if not exists jobs (
    receipt text primary key, list_name text not null, request_id integer not null, idempotency_key text,
    body_hash text not null, body blob not null, accepted_at real not null, due_at real not null,
    results blob, is_forgotten integer not null default 0, is_put_off integer not null default 0
);
create index if not exists jobs_by_key on jobs (idempotency_key);
create index if not exists jobs_undone on jobs (due_at) where results is null;
"""


@dataclass(frozen=True)
class Effect:
    """One row's effect, as the sandbox saw it; `message_id` of a message only."""

    key: str
    do: str
    fields: str
    status: str
    reason: str | None
    message_id: str | None = None


class SandboxStore:
    """A SQLite file that survives runs; every request commits once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._lock = threading.Lock()
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._connection.create_function("merge_fields", 2, _merge_fields, deterministic=True)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def remembered(self, idempotency_key: str, *, not_before: float) -> tuple[str, bytes] | None:
        """(body hash, answer) given to that key since then, if any."""
        with self._lock:
            row = self._connection.execute(
                "select body_hash, answer from answers where idempotency_key = ? and answered_at >= ?",
                (idempotency_key, not_before),
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def note_request(
        self,
        *,
        method: str,
        path: str,
        idempotency_key: str | None,
        body_hash: str,
        operations: int,
        fault: str | None,
        now: float,
    ) -> int:
        """Log that a request arrived (`now`: seconds since 1970); its status is added with its answer."""
        with self._lock:
            (request_id,) = self._connection.execute(
                "insert into requests (method, path, idempotency_key, body_hash, operations, is_replay, "
                "fault)"
                " values (?, ?, ?, ?, ?, 0, ?) returning request_id",
                (method, path, idempotency_key, body_hash, operations, fault),
            ).fetchone()
            self._connection.execute("insert into arrivals values (?, ?)", (request_id, now))
        return int(request_id)

    def note_answer(self, request_id: int, *, status: int, is_replay: bool) -> None:
        """Log how a request was answered."""
        with self._lock:
            self._connection.execute(
                "update requests set status = ?, is_replay = ? where request_id = ?",
                (status, int(is_replay), request_id),
            )

    def read(self, list_name: str, keys: Sequence[str]) -> dict[str, dict[str, object] | None]:
        """The members of those keys; None where there is none."""
        found: dict[str, dict[str, object] | None] = {}
        with self._lock:
            for key in keys:
                row = self._connection.execute(
                    "select fields from members where list_name = ? and key = ?", (list_name, key)
                ).fetchone()
                found[key] = None if row is None else orjson.loads(row[0])
        return found

    def sent(self, list_name: str, ids: Sequence[str]) -> list[str]:
        """Those of the ids under which a message of that name was sent."""
        with self._lock:
            return [
                identity
                for identity in ids
                if self._connection.execute(
                    "select 1 from messages where message_id = ? and list_name = ?", (identity, list_name)
                ).fetchone()
            ]

    def members(
        self, list_name: str, *, after: str | None = None, rows: int = -1
    ) -> Iterator[tuple[str, str]]:
        """(key, fields as JSON text) of members of a list, in order of key: all, or so many after a key."""
        with self._lock:
            beyond = ">=" if after is None else ">"
            found = self._connection.execute(
                f"select key, fields from members where list_name = ? and key {beyond} ? order by key"
                " limit ?",
                (list_name, after or "", rows),
            ).fetchall()
        yield from found

    def counts(self) -> dict[str, int]:
        """How many members each list has."""
        with self._lock:
            return dict(
                self._connection.execute(
                    "select list_name, count(*) from members group by list_name order by 1"
                )
            )

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Read the log: `members`, `messages`, `requests`, `arrivals`, `effects`, `answers`, `jobs`."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def change(self, statement: str, values: Sequence[object] = ()) -> None:
        """Change the sandbox's memory by one statement, durable when this returns."""
        with self._lock:
            self._connection.execute(statement, values)

    def apply(
        self,
        list_name: str,
        effects: Sequence[Effect],
        *,
        request_id: int,
        idempotency_key: str | None,
        body_hash: str,
        answer: bytes,
        now: float,
        receipt: str | None = None,
    ) -> None:
        """Change the members, note each effect, and remember the answer, all or nothing.

        `receipt`: of the job whose work this is; the answer becomes its results.
        """
        connection = self._connection
        with self._lock:
            connection.execute("begin immediate")
            try:
                done = [effect for effect in effects if effect.status == "delivered"]
                for effect in done:
                    if effect.do == "erase":
                        connection.execute("delete from members where key = ?", (effect.key,))
                    elif effect.do == "remove":
                        connection.execute(
                            "delete from members where list_name = ? and key = ?", (list_name, effect.key)
                        )
                    elif effect.do == "send":
                        connection.execute(
                            "insert into messages values (?, ?, ?, ?, ?)",
                            (effect.message_id, list_name, effect.key, effect.fields, request_id),
                        )
                    else:
                        connection.execute(
                            "insert into members values (?, ?, ?, ?) on conflict do update set"
                            " fields = merge_fields(members.fields, excluded.fields),"
                            " changed_in = excluded.changed_in",
                            (list_name, effect.key, effect.fields, request_id),
                        )
                connection.executemany(
                    "insert into effects values (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (request_id, position, list_name, effect.key, effect.do, effect.status, effect.reason)
                        for position, effect in enumerate(effects)
                    ],
                )
                if idempotency_key:
                    connection.execute(
                        "insert or replace into answers values (?, ?, ?, ?)",
                        (idempotency_key, body_hash, answer, now),
                    )
                if receipt is not None:
                    connection.execute("update jobs set results = ? where receipt = ?", (answer, receipt))
                connection.execute("commit")
            except BaseException:
                connection.execute("rollback")
                raise


def _merge_fields(held: str, sent: str) -> str:
    """An upsert changes the fields it carries (null clears) and keeps the others."""
    fields: dict[str, object] = orjson.loads(held)
    fields.update(orjson.loads(sent))
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()
