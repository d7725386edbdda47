"""What a destination lists: page by page, within its limits, and half a list is none."""

import asyncio
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from activation import copying
from activation import listing as listing_module
from activation import resync as resyncing
from activation.adapters import file as file_adapter
from activation.adapters.base import OperationKind, Outcome, OutcomeKind, as_text
from activation.adapters.webhook import WebhookAdapter
from activation.errors import DestinationDownError, LedgerBusyError, TemporaryFileError
from activation.listing import Listing, list_members
from activation.outside import open_room
from activation.planner import plan_sync
from activation.resync import AsOf, Resync, resync
from activation.sandbox import app as sandbox_app
from tests.activation.places import PLACES, batch, deliver, pages_of, target
from tests.activation.test_modes import in_mode, seed
from tests.activation.warehouse import Person, withdraw
from tests.activation.world import World, people

PEOPLE = [f"p{number:02d}" for number in range(7)]


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_a_list_of_several_pages_is_listed_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(sandbox_app, "PAGE_ROWS", rows)
    in_mode(world, "mirror_exclusive")
    seed(world, **dict.fromkeys(PEOPLE, "XX"))
    world.members(*people("ann"))

    report = world.run()

    assert (report.adds, report.removes) == (1, 7)
    assert world.at_sandbox() == {"ann@example.com"}


def test_a_file_destination_lists_what_it_wrote_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_adapter, "PAGE_ROWS", 2)
    with PLACES["file"](tmp_path) as place:
        rows = [(OperationKind.ADD, key, {"name": key}) for key in "abc"]
        deliver(place.adapter("file"), batch(target("file", "mirror"), 1, *rows))

        pages = pages_of(place.adapter("file"), target("file", "mirror"))

    assert [len(page) for page in pages] == [2, 1]
    assert {key for page in pages for key in page} == {"a", "b", "c"}


LIES = (
    b"<html>gone</html>",
    b"[]",
    b"{}",
    b'{"members": ["a"], "next": null}',
    b'{"members": {}}',
    b'{"members": {}, "next": 5}',
    b'{"members": {}, "next": ""}',
    b'{"members": {"a": null}, "next": null}',
    b'{"members": {"a": 5}, "next": null}',
    b'{"members": {"a": ["country"]}, "next": null}',
)


@pytest.mark.parametrize("content", LIES, ids=[lie.decode() for lie in LIES])
def test_a_destination_that_lies_about_its_members_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    answer_questions(monkeypatch, httpx.Response(200, content=content))
    in_mode(world, "mirror_exclusive")
    world.members(*people("ann"))

    report = world.run()

    assert report.error == (
        "What sandbox has in list 'to_sandbox' could not be read (unreadable_answer); nothing was changed. "
        "Try again."
    )
    assert world.at_sandbox() == set()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(500), "http_500"),
        (httpx.Response(404), "no_such_address"),
        (Outcome(OutcomeKind.UNKNOWN, "timeout", concerns_batch=True), "timeout"),
    ],
)
def test_a_destination_that_does_not_list_is_named_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Outcome, why: str
) -> None:
    answer_questions(monkeypatch, answer)
    in_mode(world, "mirror_exclusive")
    world.members(*people("ann"))

    assert f"could not be read ({why})" in str(world.run().error)


CHANGED = {
    "current.jsonl": (b"no json", b"\xff\xfe", b'{"key": 1}', b"5", b'{"key": "a", "fields": 5}'),
    "[0-9]*.jsonl": (b'"x"', b'{"do": "upsert", "key": "a", "fields": null}'),
    ".current.json": (b"", b"[]", b"{}"),
}


@pytest.mark.parametrize(("name", "content"), [(name, each) for name in CHANGED for each in CHANGED[name]])
def test_a_file_that_somebody_changed_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    """The list is refused; what was delivered stays, and the file's last state with it."""
    with PLACES["file"](tmp_path) as place:
        there = target("file", "mirror")
        first = batch(there, 1, (OperationKind.ADD, "a", {"name": "a"}))
        second = batch(there, 2, (OperationKind.ADD, "b", {"name": "b"}))
        deliver(place.adapter("file"), first)
        if name.startswith("["):
            asyncio.run(place.adapter("file").deliver(second))
        changed = sorted((tmp_path / "files").rglob(name))[-1]
        changed.write_bytes(content + b"\n")

        told = asyncio.run(place.adapter("file").list_members(there, None))
        with pytest.raises(DestinationDownError, match="is not as it was written; its batches are not lost"):
            deliver(place.adapter("file"), second)

    assert told == Outcome(
        OutcomeKind.REJECTED, f"{changed.name} is not as it was written", concerns_batch=True
    )


class FullFile:
    """What SQLite gives when the disk of its temporary files is full from some statement on."""

    def __init__(self, file: sqlite3.Connection, statement: str) -> None:
        self._file, self._statement = file, statement

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        if statement.startswith(self._statement):
            raise sqlite3.OperationalError("database or disk is full")
        return self._file.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> sqlite3.Cursor:
        self.execute(statement)
        return self._file.executemany(statement, rows)

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("statement", ["insert", "select key from", "select key, fields"])
def test_a_full_disk_is_told_and_what_was_kept_is_not_believed_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    connect = sqlite3.connect
    world.members(*people("ann"))
    world.run()

    def full(name: str, **others: Any) -> object:
        return FullFile(connect(name, **others), statement) if name == "" else connect(name, **others)

    monkeypatch.setattr(sqlite3, "connect", full)

    def use(listing: Listing) -> None:
        listing.add({"ann@example.com": "{}"})
        list(listing.key_parts())
        resync(world.ledger, world.sync(), listing, AsOf.now(world.ledger, world.time()))

    with Listing() as listing:
        for _ in range(2):
            with pytest.raises(TemporaryFileError, match="could not be kept in a temporary file"):
                use(listing)

    assert len(acknowledged(world)) == 1


def test_what_is_kept_of_a_list_is_on_disk_and_limited_by_it() -> None:
    """A real limit of the file's size, met while a page is written."""
    with Listing() as listing:
        listing._file.execute("pragma max_page_count = 20")
        with pytest.raises(TemporaryFileError, match="database or disk is full"):
            listing.add({f"{row}": "{}" * 50 for row in range(10_000)})
        with pytest.raises(TemporaryFileError):
            listing.fields_of(["0"])


def test_the_later_page_counts_for_a_key_that_two_pages_show() -> None:
    with Listing() as listing:
        listing.add({"b": "1", "a": "1"})
        listing.add({"b": "2"})

        assert [row for part in listing.key_parts() for row in part] == [("a",), ("b",)]
        assert listing.fields_of(["b", "c"]) == {"b": "2"}


def test_everything_is_planned_and_previewed_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "CHUNK_ROWS", 2)
    monkeypatch.setattr(listing_module, "CHUNK_ROWS", 2)
    in_mode(world, "mirror_exclusive")
    seed(world, **dict.fromkeys(PEOPLE, "XX"))
    world.members(*people("ann", "bob", "cid", "dan", "eve"))

    report = world.run()
    preview = plan_sync(world.sync(), warehouse=world.warehouse, ledger=world.ledger, state="ledger")
    again = world.run()

    assert (report.adds, report.removes) == (5, 7)
    assert (preview.operations, preview.unchanged) == (0, 5)
    assert (again.operations, again.unchanged) == (0, 5)


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_a_resync_goes_through_its_keys_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(resyncing, "CHUNK_ROWS", rows)
    world.members(*people(*PEOPLE))
    world.run()
    world.sandbox.store.query("delete from members where key in ('p01@example.com', 'p06@example.com')")
    world.sandbox.store.query("update members set fields = '{}' where key > 'p04'")

    found = resync_with(world, dict(world.sandbox.store.members("to_sandbox")))
    report = world.run()

    assert (found.dropped, found.different, found.unchanged, found.recent) == (2, 2, 3, 0)
    assert (report.adds, report.updates) == (2, 2)
    assert len(world.at_sandbox()) == 7


def test_who_came_while_a_list_was_read_is_not_forgotten(world: World) -> None:
    """She would never be removed again."""
    world.members(*people("ann"))
    world.run()
    as_of = AsOf.now(world.ledger, world.time())
    held = dict(world.sandbox.store.members("to_sandbox"))
    world.members(*people("ann", "bob"))
    world.run()

    found = resync_with(world, held, as_of)
    withdraw(world.warehouse, "bob@example.com")
    world.members(*people("ann"))
    report = world.run()

    assert (found.dropped, found.unchanged, found.recent) == (0, 1, 1)
    assert (report.removes, world.at_sandbox()) == (1, {"ann@example.com"})


def test_what_is_delivered_while_a_resync_runs_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.members(*people("ann", "bob"))
    world.run()
    held = {"ann@example.com": "{}"}
    fields_of = Listing.fields_of

    def deliver_meanwhile(listing: Listing, keys: Iterable[str]) -> dict[str, str]:
        world.members(Person("ann", country="FR"), Person("bob", country="FR"))
        world.run()
        return fields_of(listing, keys)

    monkeypatch.setattr(Listing, "fields_of", deliver_meanwhile)
    found = resync_with(world, held)

    assert (found.dropped, found.different, found.recent) == (0, 0, 2)
    assert len(acknowledged(world)) == 2


def test_each_key_of_a_resync_is_counted_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is delivered between two parts."""
    monkeypatch.setattr(resyncing, "CHUNK_ROWS", 1)
    world.members(*people("ann", "bob", "cid"))
    world.run()
    held = dict(world.sandbox.store.members("to_sandbox"))
    fields_of = Listing.fields_of

    def deliver_meanwhile(listing: Listing, keys: Iterable[str]) -> dict[str, str]:
        world.members(Person("ann"), Person("bob", country="FR"), Person("cid"))
        world.run()
        return fields_of(listing, keys)

    monkeypatch.setattr(Listing, "fields_of", deliver_meanwhile)
    found = resync_with(world, held)

    assert (found.dropped, found.different, found.unchanged, found.recent) == (0, 0, 2, 1)


def test_a_resync_that_is_cut_short_says_how_far_it_came(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resyncing, "CHUNK_ROWS", 2)
    world.members(*people(*PEOPLE))
    world.run()
    write, calls = resyncing._write, []

    def busy(*values: Any) -> tuple[int, int]:
        calls.append(values)
        if len(calls) == 3:
            raise LedgerBusyError("Somebody holds it.")
        return write(*values)

    monkeypatch.setattr(resyncing, "_write", busy)

    with pytest.raises(
        LedgerBusyError, match=r"ended early, after 4 keys; do it again\. Somebody holds it\."
    ):
        resync_with(world, {})


@pytest.mark.parametrize(
    ("listed", "is_text", "is_same"),
    [
        ('{"flag":true,"nothing":null,"number":5,"price":10.00,"text":"a","more":1}', False, True),
        ('{"flag":1,"nothing":null,"number":5,"price":10.00,"text":"a"}', False, False),
        ('{"flag":true,"nothing":"","number":5,"price":10.00,"text":"a"}', False, False),
        ('{"flag":true,"nothing":null,"number":"5","price":10.00,"text":"a"}', False, False),
        ('{"flag":true,"number":5,"price":10.00,"text":"a"}', False, False),
        ('{"flag":"true","nothing":"","number":"5","price":"10.00","text":"a"}', True, True),
        ('{"flag":"true","nothing":"","number":"5","price":"10.0","text":"a"}', True, False),
        ('{"flag":"","nothing":"","number":"5","price":"10.00","text":"a"}', True, False),
    ],
)
def test_what_the_destination_has_is_what_was_sent(listed: str, *, is_text: bool, is_same: bool) -> None:
    sent = '{"flag":true,"nothing":null,"number":5,"price":10.00,"text":"a"}'
    row = resyncing._Row("a", "hash", sent, 0, 0)

    assert resyncing._is_same(listed, row, is_text=is_text) == is_same


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("ä", "ä"), (True, "true"), (5, "5"), (10**29, "1" + "0" * 29), (["a", 1], '["a",1]')],
)
def test_a_place_of_texts_has_a_value_as_it_stands_in_the_payload(value: object, text: str) -> None:
    assert as_text(value) == text


def test_who_may_not_be_visible_yet_is_not_forgotten(world: World) -> None:
    """What the destination did just before the list was asked for may show only after `read_back_settles`."""
    world.members(*people("ann"))
    world.run()

    too_soon = resync_with(world, {}, AsOf.now(world.ledger, world.time(), settles=timedelta(seconds=30)))
    asyncio.run(world.time.sleep(31))
    later = resync_with(world, {}, AsOf.now(world.ledger, world.time(), settles=timedelta(seconds=30)))

    assert (too_soon.dropped, too_soon.recent) == (0, 1)
    assert (later.dropped, later.recent) == (1, 0)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_is_as_it_should_be_after_a_resync(world: World, kind: str) -> None:
    """A CSV has nothing but texts, and they are what was sent."""
    file = world.folder / "syncs" / "to_csv.yml"
    file.write_text(re.sub(r"options: .*", f"options: {{format: {kind}}}", file.read_text()))
    world.members(Person("ann"), Person("bob", country=None))
    world.run("to_csv")
    sync = world.sync("to_csv")
    with Listing() as listing:
        place = world.destinations.get(sync.destination)
        room = open_room(sync, place, world.engine)
        asyncio.run(list_members(sync, place, world.engine, room, listing))
        found = resync(world.ledger, sync, listing, AsOf.now(world.ledger, world.time()))

    assert (found.dropped, found.different, found.unchanged) == (0, 0, 2)


def answer_questions(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Outcome) -> None:
    """Let the destination answer whatever it is asked with this; what is sent arrives as ever."""
    call = WebhookAdapter._call

    async def say(adapter: WebhookAdapter, method: str, path: str, **others: object) -> object:
        return answer if method == "GET" else await call(adapter, method, path, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(WebhookAdapter, "_call", say)


def resync_with(world: World, held: Mapping[str, str], as_of: AsOf | None = None) -> Resync:
    with Listing() as listing:
        listing.add(held)
        return resync(world.ledger, world.sync(), listing, as_of or AsOf.now(world.ledger, world.time()))


def acknowledged(world: World) -> list[str]:
    with world.ledger.read() as connection:
        rows = connection.execute("select destination_key from acknowledged").fetchall()
    return [key for (key,) in rows]
