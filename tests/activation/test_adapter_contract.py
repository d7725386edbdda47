"""What every adapter promises, asked of each file under activation/adapters in a place where it works.

A new adapter adds one `Place` to PLACES: where its destination is, and what that holds.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from activation.adapters.base import (
    Adapter,
    AdapterConfig,
    Batch,
    Operation,
    OperationKind,
    Outcome,
    OutcomeKind,
    Surroundings,
    Target,
)
from activation.adapters.discovery import adapter_types
from activation.modes import MODES
from activation.sandbox.app import SandboxRules
from activation.sandbox.faults import AFTER_COMMIT, CERTAINLY_NOT_DONE, Fault, FaultName
from activation.sandbox.server import SandboxServer

ADD, UPDATE, REMOVE, ERASE, SEND = (
    OperationKind.ADD,
    OperationKind.UPDATE,
    OperationKind.REMOVE,
    OperationKind.ERASE,
    OperationKind.SEND,
)
SECRET = "zz-secret-41c"
NASTY = (
    "ann@x.org",
    'quo"te,comma@x.org',
    "line\nbreak@x.org",
    "größe-日本-👩‍👩‍👧@x.org",
    "=cmd()@x.org",
    " space @x.org",
)


@dataclass(frozen=True)
class Place:
    """One destination: its settings, the files around it, (key -> fields) of what it holds, what it sent."""

    settings: Mapping[str, object]
    folder: Path
    held: Callable[[], dict[str, object]]
    sent: Callable[[], list[object]]
    sandbox: SandboxServer | None = None

    def config(self, type_name: str) -> AdapterConfig:
        return adapter_types()[type_name].config_type.model_validate(self.settings)

    def adapter(self, type_name: str) -> Adapter:
        kind = adapter_types()[type_name]
        surroundings = Surroundings(
            "place",
            self.folder / "files",
            lambda: self.sandbox.url if self.sandbox else "",
            lambda name: f"{SECRET}-{name}",
        )
        return kind.build(self.config(type_name), surroundings)


@contextmanager
def webhook_place(folder: Path) -> Iterator[Place]:
    rules = SandboxRules(requests_per_second=1000)
    with SandboxServer(folder / "sandbox.sqlite", clock=lambda: datetime.now(UTC), rules=rules) as sandbox:
        settings = {"url": "builtin:sandbox", "token": {"secret": "key"}, "timeout_seconds": 0.5}
        yield Place(
            settings,
            folder,
            lambda: {key: json.loads(fields) for key, fields in sandbox.store.members("l")},
            lambda: [json.loads(str(f)) for (f,) in sandbox.store.query("select fields from messages")],
            sandbox,
        )


@contextmanager
def file_place(folder: Path) -> Iterator[Place]:
    def held() -> dict[str, object]:
        adapter = Place({}, folder, dict, list).adapter("file")
        listed = asyncio.run(adapter.list_members(target("file", "mirror")))
        return {key: json.loads(fields) for key, fields in listed.items()}

    def sent() -> list[object]:
        files = sorted((folder / "files").rglob("*.jsonl"))
        return [json.loads(line)["fields"] for file in files for line in file.read_text().splitlines()]

    yield Place({}, folder, held, sent)


PLACES = {"webhook": webhook_place, "file": file_place}


def target(type_name: str, mode: str) -> Target:
    options = {"format": "jsonl"} if type_name == "file" else {}
    options_type = adapter_types()[type_name].options_type
    return Target("s", mode, "l", "key", ("key", "name"), options_type.model_validate(options))


def batch(place: Target, number: int, *rows: tuple[OperationKind, str, object]) -> Batch:
    operations = tuple(
        Operation(f"o{number}-{position}", kind, key, None if kind in (REMOVE, ERASE) else _canonical(fields))
        for position, (kind, key, fields) in enumerate(rows)
    )
    return Batch(number, f"key-{number}", 1, place, operations)


def _canonical(fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def deliver(adapter: Adapter, *batches: Batch) -> list[Sequence[Outcome]]:
    """Send them one after the other in one opening of the adapter, and finish."""

    async def send() -> list[Sequence[Outcome]]:
        async with adapter:
            found = [await adapter.deliver(each) for each in batches]
            await adapter.finish(batches[0].target)
            return found

    return asyncio.run(send())


def kinds(outcomes: Sequence[Outcome]) -> list[OutcomeKind]:
    return [outcome.kind for outcome in outcomes]


@pytest.fixture(params=sorted(adapter_types()))
def type_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(type_name: str, tmp_path: Path) -> Iterator[Place]:
    with PLACES[type_name](tmp_path) as opened:
        yield opened


def test_every_adapter_has_a_place_in_this_suite() -> None:
    assert PLACES.keys() == adapter_types().keys()


def test_capabilities_are_data_that_make_sense(type_name: str, place: Place) -> None:
    can = adapter_types()[type_name].capabilities(place.config(type_name))

    assert can.modes
    assert can.modes <= MODES.keys()
    assert can.max_batch_rows > 0
    assert can.max_batch_bytes > 0
    assert all(rate.limit > 0 and rate.seconds > 0 for rate in can.rates)
    assert can.can_list_members or "mirror_exclusive" not in can.modes
    assert can.can_read_back or can.idempotency_lifetime, "what is unknown could never be settled"


@pytest.mark.parametrize("mode", ["mirror", "upsert", "insert", "list_add"])
def test_what_is_added_updated_and_removed_is_there_in_order(type_name: str, place: Place, mode: str) -> None:
    there = target(type_name, mode)
    rows = [(ADD, key, {"name": f"n{number}"}) for number, key in enumerate("abc")]
    changes = (
        [(REMOVE, "a", None)]
        if mode in ("insert", "list_add")
        else [
            (REMOVE, "a", None),
            (UPDATE, "b", {"name": "new"}),
        ]
    )

    answers = deliver(place.adapter(type_name), batch(there, 1, *rows), batch(there, 2, *changes))

    assert [kinds(each) for each in answers] == [
        [OutcomeKind.DELIVERED] * 3,
        [OutcomeKind.DELIVERED] * len(changes),
    ]
    expected = {"b": {"name": "n1" if len(changes) == 1 else "new"}, "c": {"name": "n2"}}
    assert place.held() == expected


def test_the_same_batch_twice_is_done_once(type_name: str, place: Place) -> None:
    there = target(type_name, "mirror")
    once = batch(there, 1, (ADD, "a", {"name": "n"}))

    first, second = deliver(place.adapter(type_name), once, once)

    assert kinds(first) == kinds(second) == [OutcomeKind.DELIVERED]
    assert place.held() == {"a": {"name": "n"}}


def test_a_message_is_sent_once_for_its_id_and_changes_no_member(type_name: str, place: Place) -> None:
    if "append" not in adapter_types()[type_name].capabilities(place.config(type_name)).modes:
        pytest.skip(f"{type_name} sends no messages")
    there = target(type_name, "append")
    fields = [{"key": f"{name}@x.org", "name": name} for name in ("ann", "bob")]
    once = batch(there, 1, *((SEND, f"occurrence-{number}", each) for number, each in enumerate(fields)))

    answers = deliver(
        place.adapter(type_name), once, once, batch(there, 2, (SEND, "occurrence-0", fields[0]))
    )

    assert [kinds(each) for each in answers] == [[OutcomeKind.DELIVERED] * len(each) for each in answers]
    assert place.sent() == [*fields, fields[0]], "another operation is another message"
    assert place.held() == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": None},
        {"name": ""},
        {"name": "a,b\n\"c\"\r\n'd'"},
        {"name": "größe 日本 👩‍👩‍👧 \u202e"},
        {"name": "x" * 1_000_000},
        {"name": 0.1},
        {"name": -9223372036854775808},
        {"name": True},
        {"name": "2010-12-10T00:00:00.000001Z"},
    ],
    ids=["null", "empty", "marks", "unicode", "megabyte", "fraction", "least", "boolean", "time"],
)
def test_values_of_every_type_arrive_as_they_were(
    type_name: str, place: Place, fields: dict[str, object]
) -> None:
    there = target(type_name, "mirror")

    (answer,) = deliver(place.adapter(type_name), batch(there, 1, (ADD, "a", fields)))

    assert (kinds(answer), place.held()) == ([OutcomeKind.DELIVERED], {"a": fields})


def test_keys_of_every_kind_arrive_as_they_were(type_name: str, place: Place) -> None:
    there = target(type_name, "mirror")

    (answer,) = deliver(
        place.adapter(type_name), batch(there, 1, *((ADD, key, {"name": key}) for key in NASTY))
    )

    assert kinds(answer) == [OutcomeKind.DELIVERED] * len(NASTY)
    assert place.held() == {key: {"name": key} for key in NASTY}


def test_an_adapter_can_be_opened_again_and_holds_no_state(type_name: str, place: Place) -> None:
    there = target(type_name, "mirror")
    adapter = place.adapter(type_name)

    deliver(adapter, batch(there, 1, (ADD, "a", {"name": "n"})))
    deliver(adapter, batch(there, 2, (ADD, "b", {"name": "n"})))
    deliver(place.adapter(type_name), batch(there, 3, (REMOVE, "a", None)))

    assert place.held() == {"b": {"name": "n"}}


def test_it_logs_no_payload_and_shows_no_secret(
    type_name: str, place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    adapter = place.adapter(type_name)

    deliver(adapter, batch(target(type_name, "mirror"), 1, (ADD, "zz-person@x.org", {"name": "zz-name"})))

    shown = caplog.text + "".join(capfd.readouterr()) + repr(adapter)
    assert not [word for word in (SECRET, "zz-person", "zz-name") if word in shown]


@pytest.mark.parametrize("fault", get_args(FaultName))
def test_no_failure_of_a_server_is_taken_for_an_answer(tmp_path: Path, fault: FaultName) -> None:
    """For adapters that speak HTTP: done may not be called undone, nor undone done."""
    with webhook_place(tmp_path) as place:
        assert place.sandbox is not None
        there = target("webhook", "mirror")
        once = batch(there, 1, (ADD, "a", {"name": "n"}), (ADD, "b", {"name": "n"}))
        place.sandbox.faults.add(Fault(fault, hold=1.0))

        first, second = deliver(place.adapter("webhook"), once, once)

        is_done = fault in AFTER_COMMIT
        certain = {OutcomeKind.DELIVERED} if is_done else {OutcomeKind.DEFERRED, OutcomeKind.REJECTED}
        allowed = certain if fault in CERTAINLY_NOT_DONE else certain | {OutcomeKind.UNKNOWN}
        assert len(first) == 2
        assert set(kinds(first)) <= allowed
        assert kinds(second) == [OutcomeKind.DELIVERED] * 2
        assert place.sandbox.store.query("select count(*) from effects") == [(2,)]


@pytest.mark.parametrize("fault", AFTER_COMMIT)
def test_what_is_unknown_is_found_by_reading_back(tmp_path: Path, fault: FaultName) -> None:
    with webhook_place(tmp_path) as place:
        assert place.sandbox is not None
        there = target("webhook", "mirror")
        once = batch(there, 1, (ADD, "a", {"name": "n"}))
        place.sandbox.faults.add(Fault(fault, hold=1.0))
        adapter = place.adapter("webhook")

        async def ask() -> Sequence[Outcome]:
            async with adapter:
                await adapter.deliver(once)
                absent = replace(once.operations[0], destination_key="b")
                return await adapter.read_back(replace(once, operations=(*once.operations, absent)))

        assert kinds(asyncio.run(ask())) == [OutcomeKind.DELIVERED, OutcomeKind.DEFERRED]


@pytest.mark.parametrize("fault", AFTER_COMMIT)
def test_a_message_whose_answer_was_lost_is_found_by_its_id(tmp_path: Path, fault: FaultName) -> None:
    with webhook_place(tmp_path) as place:
        assert place.sandbox is not None
        there = target("webhook", "append")
        once = batch(there, 1, (SEND, "occurrence", {"key": "ann@x.org"}))
        place.sandbox.faults.add(Fault(fault, hold=1.0))
        adapter = place.adapter("webhook")

        async def ask() -> Sequence[Outcome]:
            async with adapter:
                await adapter.deliver(once)
                another = replace(once.operations[0], operation_id="another")
                return await adapter.read_back(replace(once, operations=(*once.operations, another)))

        assert kinds(asyncio.run(ask())) == [OutcomeKind.DELIVERED, OutcomeKind.DEFERRED]
