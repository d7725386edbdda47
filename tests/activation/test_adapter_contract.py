"""What every adapter promises, asked of each file under activation/adapters in a place where it works.

The places stand in `places.py`.
"""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from activation.adapters.base import (
    OperationKind,
    Outcome,
    OutcomeKind,
)
from activation.adapters.discovery import adapter_types
from activation.modes import MODES
from activation.sandbox.faults import (
    AFTER_COMMIT,
    CERTAINLY_NOT_DONE,
    TELL_NOTHING,
    Fault,
    FaultName,
    ReceiptFaultName,
)
from tests.activation.places import (
    ANSWERS_LATER,
    NASTY,
    PLACES,
    SECRET,
    Place,
    batch,
    deliver,
    kinds,
    later_webhook_place,
    pages_of,
    resolve,
    target,
    webhook_place,
)

ADD, UPDATE, REMOVE, ERASE, SEND = (
    OperationKind.ADD,
    OperationKind.UPDATE,
    OperationKind.REMOVE,
    OperationKind.ERASE,
    OperationKind.SEND,
)


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
    assert can.max_receipts > 0
    assert can.can_resolve == bool(can.resolves_within), "in doubt at once, or never"


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


def test_what_it_lists_is_what_it_holds(type_name: str, place: Place) -> None:
    if not adapter_types()[type_name].capabilities(place.config(type_name)).can_list_members:
        pytest.skip(f"{type_name} cannot list its members")
    there = target(type_name, "mirror")
    rows = [(ADD, key, {"name": f"n{number}"}) for number, key in enumerate(NASTY)]
    nobody = pages_of(place.adapter(type_name), there)
    deliver(place.adapter(type_name), batch(there, 1, *rows))

    listed = {
        key: json.loads(fields)
        for page in pages_of(place.adapter(type_name), there)
        for key, fields in page.items()
    }

    assert not any(nobody)
    assert listed == place.held() == {key: fields for _, key, fields in rows}


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
                absent = once.operations[0]._replace(destination_key="b")
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
                another = once.operations[0]._replace(operation_id="another")
                return await adapter.read_back(replace(once, operations=(*once.operations, another)))

        assert kinds(asyncio.run(ask())) == [OutcomeKind.DELIVERED, OutcomeKind.DEFERRED]


@pytest.fixture(params=sorted(ANSWERS_LATER))
def later_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def later(later_type: str, tmp_path: Path) -> Iterator[Place]:
    with ANSWERS_LATER[later_type](tmp_path) as opened:
        yield opened


def test_an_adapter_that_does_not_resolve_never_says_accepted(type_name: str, place: Place) -> None:
    """Else nobody would ever ask what became of it."""
    can = adapter_types()[type_name].capabilities(place.config(type_name))
    there = target(type_name, "mirror")
    once = batch(there, 1, (ADD, "a", {"name": "n"}), (REMOVE, "b", None))

    (answers,) = deliver(place.adapter(type_name), once)

    assert not can.can_resolve
    assert OutcomeKind.ACCEPTED not in kinds(answers)
    assert kinds(resolve(place.adapter(type_name), there, once, answers)) == [OutcomeKind.UNKNOWN] * 2


def test_a_receipt_that_was_not_expected_is_no_answer(later_type: str, later: Place) -> None:
    """The same destination, whose settings do not say that it answers later."""
    plain = replace(later, settings={**later.settings, "can_resolve": False})

    (answers,) = deliver(
        plain.adapter(later_type), batch(target(later_type, "mirror"), 1, (ADD, "a", {"name": "n"}))
    )

    assert kinds(answers) == [OutcomeKind.UNKNOWN]


def test_what_is_accepted_is_told_row_by_row_once_it_is_done(later_type: str, later: Place) -> None:
    there = target(later_type, "mirror")
    adapter = later.adapter(later_type)
    rows = [(ADD, key, {"name": "n"}) for key in ("a", "refused", *NASTY)]
    once = batch(there, 1, *rows)

    (answers,) = deliver(adapter, once)
    early = resolve(adapter, there, once, answers)
    before = later.held()
    later.wait()
    told = resolve(adapter, there, once, answers)
    some = resolve(adapter, there, once, answers, but=(0, 2))

    expected = [OutcomeKind.DELIVERED, OutcomeKind.REJECTED] + [OutcomeKind.DELIVERED] * len(NASTY)
    assert kinds(answers) == kinds(early) == [OutcomeKind.ACCEPTED] * len(rows)
    assert not any(answer.concerns_batch for answer in early), "that it is worked on is known"
    assert len({answer.receipt for answer in answers}) == len(rows)
    assert (before, set(later.held())) == ({}, {"a", *NASTY})
    assert kinds(told) == expected
    assert kinds(some) == [expected[1], *expected[3:]]


def test_the_same_batch_twice_has_the_same_receipts_and_is_done_once(later_type: str, later: Place) -> None:
    there = target(later_type, "mirror")
    once = batch(there, 1, (ADD, "a", {"name": "n"}))

    first, second = deliver(later.adapter(later_type), once, once)

    assert first == second


@pytest.mark.parametrize("fault", TELL_NOTHING)
def test_no_failure_of_a_status_is_taken_for_an_answer(
    later_type: str, later: Place, fault: ReceiptFaultName
) -> None:
    """Done may not be called undone, nor forgotten; and what failed is told from what is worked on."""
    assert later.sandbox is not None
    there = target(later_type, "mirror")
    adapter = later.adapter(later_type)
    once = batch(there, 1, (ADD, "a", {"name": "n"}), (ADD, "refused", {"name": "n"}))
    (answers,) = deliver(adapter, once)
    later.wait()
    later.sandbox.faults.add_for_receipts(Fault(fault, retry_after=7, hold=1.0))

    first, second = (resolve(adapter, there, once, answers) for _ in range(2))

    assert kinds(first) == [OutcomeKind.ACCEPTED] * 2
    assert all(answer.concerns_batch for answer in first)
    assert (first[0].retry_after is not None) == (fault == "status_rate_limited")
    assert kinds(second) == [OutcomeKind.DELIVERED, OutcomeKind.REJECTED]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("receipt_forgotten", OutcomeKind.UNKNOWN),
        ("work_forgotten", OutcomeKind.UNKNOWN),
        ("never_finished", OutcomeKind.ACCEPTED),
        ("rows_put_off", OutcomeKind.DEFERRED),
    ],
)
def test_what_became_of_the_work_is_told_as_it_is(
    later_type: str, later: Place, fault: ReceiptFaultName, expected: OutcomeKind
) -> None:
    assert later.sandbox is not None
    there = target(later_type, "mirror")
    adapter = later.adapter(later_type)
    once = batch(there, 1, (ADD, "a", {"name": "n"}))
    (answers,) = deliver(adapter, once)
    later.sandbox.faults.add_for_receipts(Fault(fault))
    resolve(adapter, there, once, answers)
    later.wait()

    told = resolve(adapter, there, once, answers)

    assert kinds(told) == [expected]
    assert set(later.held()) == ({"a"} if fault == "receipt_forgotten" else set())


@pytest.mark.parametrize("fault", get_args(FaultName))
def test_no_failure_of_a_server_is_taken_for_a_receipt(tmp_path: Path, fault: FaultName) -> None:
    """For adapters that speak HTTP."""
    with later_webhook_place(tmp_path) as place:
        assert place.sandbox is not None
        there = target("webhook", "mirror")
        once = batch(there, 1, (ADD, "a", {"name": "n"}), (ADD, "b", {"name": "n"}))
        place.sandbox.faults.add(Fault(fault, hold=1.0))

        first, second = deliver(place.adapter("webhook"), once, once)
        place.wait()
        told = resolve(place.adapter("webhook"), there, once, second)

        is_taken = fault in AFTER_COMMIT
        certain = {OutcomeKind.ACCEPTED} if is_taken else {OutcomeKind.DEFERRED, OutcomeKind.REJECTED}
        allowed = certain if fault in CERTAINLY_NOT_DONE else certain | {OutcomeKind.UNKNOWN}
        assert set(kinds(first)) <= allowed
        assert kinds(second) == [OutcomeKind.ACCEPTED] * 2
        assert kinds(told) == [OutcomeKind.DELIVERED] * 2
        assert place.sandbox.store.query("select count(*) from effects") == [(2,)]
