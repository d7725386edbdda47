"""What a destination lists: page by page, within its limits, and half a list is none."""

import sqlite3
from pathlib import Path

import httpx
import pytest

from activation import resync as resyncing
from activation.adapters import file as file_adapter
from activation.adapters.base import OperationKind, Outcome, OutcomeKind
from activation.adapters.webhook import WebhookAdapter
from activation.listing import Listing
from activation.resync import resync
from activation.sandbox import app as sandbox_app
from tests.activation.places import PLACES, batch, deliver, pages_of, target
from tests.activation.test_modes import in_mode, seed
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


LIES = {
    b"<html>gone</html>": "its answer is not what was expected",
    b"[]": "its answer is not what was expected",
    b"{}": "its answer is not what was expected",
    b'{"members": ["a"], "next": null}': "its answer is not what was expected",
    b'{"members": {}}': "its answer does not say where the next page begins",
    b'{"members": {}, "next": 5}': "its answer does not say where the next page begins",
    b'{"members": {}, "next": ""}': "its answer does not say where the next page begins",
    b'{"members": {}, "next": "again"}': "its answer does not say where the next page begins",
}


@pytest.mark.parametrize(("content", "why"), LIES.items(), ids=[lie.decode() for lie in LIES])
def test_a_destination_that_lies_about_its_members_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch, content: bytes, why: str
) -> None:
    call = WebhookAdapter._call

    async def lie(adapter: WebhookAdapter, method: str, path: str, **others: object) -> object:
        if method == "GET":
            return httpx.Response(200, content=content)
        return await call(adapter, method, path, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(WebhookAdapter, "_call", lie)
    in_mode(world, "mirror_exclusive")
    world.members(*people("ann"))

    report = world.run()

    assert report.error == (
        f"What sandbox has in list 'to_sandbox' could not be read ({why}); nothing was changed. Try again."
    )
    assert world.at_sandbox() == set()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(503), "http_503"),
        (Outcome(OutcomeKind.UNKNOWN, "timeout", concerns_batch=True), "timeout"),
    ],
)
def test_a_destination_that_does_not_list_is_named_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: object, why: str
) -> None:
    async def say(*_: object, **__: object) -> object:
        return answer

    monkeypatch.setattr(WebhookAdapter, "_call", say)
    in_mode(world, "mirror_exclusive")
    world.members(*people("ann"))

    assert f"could not be read ({why})" in str(world.run().error)


def test_a_full_disk_ends_the_listing_with_a_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Listing, "add", full)
    in_mode(world, "mirror_exclusive")
    world.members(*people("ann"))

    error = str(world.run().error)

    assert "(database or disk is full, in the folder of temporary files: TMPDIR names another)" in error
    assert world.at_sandbox() == set()


def test_the_later_page_counts_for_a_key_that_two_pages_show() -> None:
    with Listing() as listing:
        listing.add({"b": "1", "a": "1"})
        listing.add({"b": "2"})

        assert [row for part in listing.key_parts() for row in part] == [("a",), ("b",)]
        assert (listing.fields("b"), listing.fields("c")) == ("2", None)


def test_a_resync_goes_through_its_keys_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resyncing, "CHUNK_ROWS", 2)
    world.members(*people(*PEOPLE))
    world.run()
    world.sandbox.store.query("delete from members where key in ('p01@example.com', 'p06@example.com')")
    world.sandbox.store.query("update members set fields = '{}' where key > 'p04'")

    with Listing() as listing:
        listing.add(dict(world.sandbox.store.members("to_sandbox")))
        found = resync(world.ledger, world.sync(), listing)
    report = world.run()

    assert (found.dropped, found.different, found.unchanged) == (2, 2, 3)
    assert (report.adds, report.updates) == (2, 2)
    assert len(world.at_sandbox()) == 7
