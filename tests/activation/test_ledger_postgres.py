"""The ledger in PostgreSQL: connections that end, servers that cannot promise, no password shown."""

import multiprocessing
import re
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from activation import claims
from activation.errors import (
    ActivationError,
    ConfigError,
    LedgerBusyError,
    LedgerCorruptError,
    LedgerRefusedError,
    LedgerStorageError,
)
from activation.ledger import Ledger, Transaction, examine_ledger
from activation.ledger_places import LedgerPlace, PostgresDatabase, ledger_place
from activation.ledger_postgres_errors import explain
from activation.sql_files import read_sql
from tests.activation.test_ledger import WORKER, planned, take, write_intents
from tests.activation.world import World, open_world, people
from tests.postgres import PostgresServer, postgres_server
from tests.postgres_proxy import Proxy

PER_ANSWER = (
    "acknowledge_writes",
    "acknowledge_former",
    "members_let_go",
    "denied_members",
    "ledger_blocked",
)


@pytest.fixture
def place(postgres: PostgresServer) -> PostgresDatabase:
    return postgres.new_place()


@pytest.fixture
def proxied(
    tmp_path: Path, postgres: PostgresServer, place: PostgresDatabase
) -> Iterator[tuple[World, Proxy]]:
    """A world whose ledger is behind a line that the test can cut."""
    with Proxy(postgres.socket) as proxy:
        url = place.url.replace(str(postgres.folder), str(proxy.folder))
        with open_world(tmp_path, PostgresDatabase(url)) as world:
            yield world, proxy


def end_connection(postgres: PostgresServer, transaction: Transaction) -> None:
    (pid,) = transaction.execute("select pg_backend_pid()").fetchone()
    postgres.execute(b"select pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_that_ends_in_the_middle_of_a_step_never_looks_like_a_commit(
    world: World, postgres: PostgresServer
) -> None:
    write_intents(world, *planned("a"))
    before = world.ledger.sequence()

    def lose_it() -> None:
        with world.ledger.write() as transaction:
            transaction.execute("update intents set payload = null")
            end_connection(postgres, transaction)

    with pytest.raises(LedgerStorageError, match="connection to the ledger"):
        lose_it()

    assert (world.states(), world.ledger.sequence()) == ({"a": "planned"}, before)


def test_the_next_step_after_a_lost_connection_has_a_new_one(world: World, postgres: PostgresServer) -> None:
    write_intents(world, *planned("a"))

    def lose_it() -> None:
        with world.ledger.write() as transaction:
            end_connection(postgres, transaction)
            transaction.execute("select 1")

    with pytest.raises(LedgerStorageError):
        lose_it()

    assert take(world).claimed is not None


def test_a_claim_whose_answer_was_lost_sends_nothing_and_is_settled_later(
    proxied: tuple[World, Proxy],
) -> None:
    """The commit is kept, and nobody hears of it: the batch is in flight, and is nobody's to send twice."""
    world, proxy = proxied
    write_intents(world, *planned("a", "b"))

    proxy.cut_at(b"commit")
    with pytest.raises(LedgerStorageError, match="it was kept or not"):
        take(world)

    assert world.states() == {"a": "in_flight", "b": "in_flight"}
    assert take(world).claimed is None
    assert claims.stranded(world.ledger, world.sync(), worker=WORKER, now=world.time()) == []
    world.time.now += timedelta(seconds=61)
    (left,) = claims.stranded(world.ledger, world.sync(), worker=WORKER, now=world.time())
    heir = claims.reclaim(
        world.ledger, world.sync(), left.batch_id, token=left.token, worker=WORKER, now=world.time()
    )
    assert heir is not None
    assert [operation.destination_key for operation in heir.batch.operations] == ["a", "b"]


def test_a_run_whose_commits_answer_was_lost_is_healed_by_the_next_without_a_double_send(
    proxied: tuple[World, Proxy],
) -> None:
    world, proxy = proxied
    names = ("ann", "bob", "cid", "dan", "eve")
    world.members(*people(*names))
    for point in ("before_claim", "before_outcome", "before_claim"):

        def cut(reached: str, point: str = point) -> None:
            if reached == point:
                proxy.cut_at(b"commit")

        with pytest.raises(LedgerStorageError, match="it was kept or not"):
            world.run(engine=replace(world.engine, at=cut))
        world.time.now += timedelta(seconds=121)

    report = world.run()

    assert report.error is None
    assert sorted(key for _, key in world.effects()) == [f"{name}@example.com" for name in names]


def test_a_failure_that_somebody_passed_over_is_not_committed(world: World) -> None:
    """PostgreSQL answers a commit after a failed statement with a rollback and no error."""
    write_intents(world, *planned("a"))

    def pass_over() -> None:
        with world.ledger.write() as transaction:
            transaction.execute("update intents set payload = null")
            with pytest.raises(psycopg.Error):
                transaction.execute("select 1 / 0")

    with pytest.raises(LedgerRefusedError, match="a statement had failed"):
        pass_over()

    assert world.states() == {"a": "planned"}


def test_a_transaction_inside_another_is_refused_and_ends_neither(world: World) -> None:
    with world.ledger.write() as transaction:
        transaction.execute("insert into caps values ('email', 1, 1)")
        with pytest.raises(RuntimeError, match="open already"), world.ledger.read():
            pass

    with world.ledger.read() as connection:
        assert connection.execute("select channel from caps").fetchall() == [("email",)]


def test_a_read_keeps_its_picture_while_others_write(world: World) -> None:
    write_intents(world, *planned("a"))
    with Ledger(world.place) as other, other.read() as connection:
        before = connection.execute("select state from operations").fetchall()
        take(world)
        after = connection.execute("select state from operations").fetchall()

    assert before == after == [("planned",)]
    assert world.states() == {"a": "in_flight"}


def test_a_read_cannot_write(world: World) -> None:
    with pytest.raises(LedgerStorageError, match="read-only"), world.ledger.read() as connection:
        connection.execute("delete from intents")


def _open(place: LedgerPlace, ids: "multiprocessing.queues.Queue[str]") -> None:
    with Ledger(place) as ledger, ledger.read() as connection:
        ids.put(connection.execute("select ledger_id from ledger_identity").fetchone()[0])


def test_processes_that_open_an_empty_database_at_once_make_one_ledger(place: PostgresDatabase) -> None:
    context = multiprocessing.get_context("forkserver")
    ids = context.Queue()
    openers = [context.Process(target=_open, args=(place, ids)) for _ in range(4)]

    for opener in openers:
        opener.start()
    found = {ids.get(timeout=60) for _ in openers}
    for opener in openers:
        opener.join()

    assert len(found) == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("create table orders (id int)", "no ledger of version"),
        ("comment on table ledger_identity is 'cdp ledger, version 1'", "found cdp ledger, version 1"),
    ],
    ids=["another program's tables", "another version"],
)
def test_what_is_no_ledger_of_ours_is_refused_and_left_as_it_is(
    place: PostgresDatabase, spoil: str, message: str
) -> None:
    if "ledger_identity" in spoil:
        with Ledger(place):
            pass
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(spoil.encode())

    with pytest.raises(LedgerCorruptError, match=message) as raised, Ledger(place):
        pass

    assert "CDP_LEDGER_URL" in str(raised.value)
    examined, _ = examine_ledger(place)
    assert message in examined.problem


@pytest.mark.parametrize("setting", ["synchronous_commit=off", "synchronous_commit=local"])
def test_a_server_that_does_not_wait_for_its_disk_is_refused(place: PostgresDatabase, setting: str) -> None:
    careless = PostgresDatabase(place.url + f"%20-c{setting.replace('=', '%3D')}")

    with pytest.raises(ConfigError, match="could be sent twice"), Ledger(careless):
        pass


def test_a_standby_is_refused() -> None:
    with (
        postgres_server(is_standby=True) as standby,
        pytest.raises(LedgerStorageError, match=r"standby.*primary"),
        Ledger(PostgresDatabase(standby.url())),
    ):
        pass


def addresses(postgres: PostgresServer) -> dict[str, tuple[str, type[ActivationError], str]]:
    secret = "hunter2hunter2"
    me = f"me:{secret}"
    return {
        "no such database": (postgres.url("nowhere"), ConfigError, '"nowhere" does not exist'),
        "wrong password": (postgres.url(password=secret), ConfigError, "password authentication failed"),
        "no such schema": (postgres.url(schema="nowhere"), ConfigError, "no schema that exists"),
        "server away": (
            f"postgresql://{me}@/ledger?host={postgres.folder}/none",
            LedgerStorageError,
            "does not answer",
        ),
        "nobody listens": (
            f"postgresql://{me}@127.0.0.1:1/ledger",
            LedgerStorageError,
            "does not answer",
        ),
        "unknown option": (
            f"postgresql://{me}@h/ledger?pasword=1",
            ConfigError,
            "cannot be read by libpq",
        ),
        "another scheme": (f"mysql://{me}@h/ledger", ConfigError, "none of PostgreSQL"),
        "an @ in the password": (f"postgresql://{me}@x@h/ledger", ConfigError, "percent-encoded"),
        "a / in the password": (f"postgresql://me:1/{secret}@h/ledger", ConfigError, "percent-encoded"),
    }


@pytest.mark.parametrize("case", list(addresses(PostgresServer(Path("/x"), "", 0))))
def test_an_address_that_leads_nowhere_is_one_clear_error_without_the_password(
    postgres: PostgresServer, case: str
) -> None:
    url, kind, message = addresses(postgres)[case]

    def open_it() -> None:
        place = ledger_place(url, Path("unused"))
        assert "hunter2" not in f"{place} {place!r}"
        with Ledger(place):
            pass

    with pytest.raises(kind, match=message) as raised:
        open_it()

    shown = "".join(traceback.format_exception(raised.value))
    assert "hunter2" not in shown
    assert postgres.password not in shown


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (errors.LockNotAvailable(), LedgerBusyError, "stayed locked"),
        (errors.DiskFull(), LedgerStorageError, "Free space at the server"),
        (errors.ReadOnlySqlTransaction(), LedgerStorageError, "one that may be written"),
        (errors.AdminShutdown(), LedgerStorageError, "connection to the ledger"),
        (errors.IdleInTransactionSessionTimeout(), LedgerStorageError, "connection to the ledger"),
        (errors.DataCorrupted(), LedgerCorruptError, "Restore it from a backup"),
        (errors.InsufficientPrivilege(), ConfigError, "own the database"),
        (errors.UniqueViolation(), LedgerRefusedError, "UniqueViolation"),
    ],
)
def test_each_kind_of_trouble_says_what_next(
    error: psycopg.Error, kind: type[Exception], message: str
) -> None:
    found = explain(error, "postgresql://host/ledger", timedelta(seconds=10), is_lost=False)

    assert type(found) is kind
    assert message in str(found)
    assert "postgresql://host/ledger" in str(found)


@pytest.mark.parametrize(
    ("index", "query"),
    [
        ("intents_by_key", "intents where sync_run_id = 's-000001' and destination_key = 'k'"),
        ("outcomes_claimable", "outcomes where sync_name = 's' and lane = 1 and state = 'deferred'"),
        ("outcomes_open", "outcomes where sync_name = 's' and finished_at is null and state = 'in_doubt'"),
        (
            "outcomes_ended_badly",
            "outcomes where sync_name = 's' and finished_at is not null"
            " and state in ('rejected', 'expired') and superseded_at is null",
        ),
        ("outcomes_by_batch", "outcomes where batch_id = 7"),
        ("batches_by_first_operation", "batches where first_operation <= 7 and first_operation is not null"),
    ],
)
def test_the_statements_find_their_index(world: World, index: str, query: str) -> None:
    with world.ledger.read() as connection:
        connection.execute("set local enable_seqscan = off")
        connection.execute("set local enable_sort = off")
        plan = connection.execute(f"explain select 1 from {query}").fetchall()

    assert any(index in line for (line,) in plan), plan


def test_an_answer_costs_the_same_however_much_was_answered_before(world: World) -> None:
    """As at a destination that accepts and answers later: each operation has an outcome."""
    with world.ledger.write() as transaction:
        transaction.execute(
            "insert into intents (operation_number, operation_id, sync_run_id, operation, holds,"
            " destination_key, payload_hash) select n, n::text, 's-000001', 'add', 1, n::text, ''"
            " from generate_series(1, 200000) as n"
        )
        transaction.execute(
            "insert into outcomes (operation_number, sync_name, lane, state, batch_id, finished_at,"
            " ledger_seq) select n, 's', 1, 'delivered', n / 100, 0, 1 from generate_series(1, 190000) as n"
        )
        transaction.execute(
            "insert into batches (sync_name, sync_run_id, idempotency_key, state, owner, token, lease_until,"
            " attempts, first_attempt_at, last_attempt_at, first_operation, last_operation, claimed_seq,"
            " ledger_seq) select 's', 's-000001', '', 'settled', '', 1, 0, 1, 0, 0, n * 100 + 1,"
            " n * 100 + 100, 1, 1 from generate_series(0, 1999) as n"
        )
        for table in ("intents", "outcomes", "batches"):
            transaction.execute(f"analyze {table}")

    for name in PER_ANSWER:
        statement = read_sql(name)
        values = dict.fromkeys(re.findall(r"(?<!:):([a-z_]+)", statement), 1)
        others = {"sync_name": "s", "channel": "email", "definition_hash": "h", "keeps_payloads": True}
        with world.ledger.write() as transaction:
            steps = "\n".join(
                line for (line,) in transaction.execute(f"explain {statement}", values | others)
            )

        assert "Seq Scan on outcomes" not in steps, steps
        assert "Seq Scan on intents" not in steps, steps
