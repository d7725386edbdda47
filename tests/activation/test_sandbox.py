"""The sandbox as a channel: what people and tests may rely on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from activation.errors import FatalActivationError
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from tests.activation.world import FakeTime

RULES = SandboxRules(requests_per_second=3, reject_keys="^blocked")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxServer]:
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=FakeTime(), rules=RULES) as server:
        yield server


def post(
    sandbox: SandboxServer, *operations: dict[str, object], key: str = "k1", field: str = "email"
) -> httpx.Response:
    return httpx.post(
        f"{sandbox.url}/lists/l/operations",
        json={"key_field": field, "operations": list(operations)},
        headers={"Idempotency-Key": key},
    )


def upsert(key: str, **fields: object) -> dict[str, object]:
    return {"do": "upsert", "key": key, "fields": fields}


def test_rows_are_answered_one_by_one(sandbox: SandboxServer) -> None:
    answer = post(
        sandbox, upsert("a@x.org"), upsert("nonsense"), upsert("blocked@x.org"), {"do": "dance", "key": "b"}
    )

    assert answer.json()["results"] == [
        {"status": "delivered"},
        {"status": "rejected", "reason": "malformed_email"},
        {"status": "rejected", "reason": "blocked_by_rule"},
        {"status": "rejected", "reason": "unknown_operation"},
    ]


@pytest.mark.parametrize(("phone", "status"), [("+442071838750", "delivered"), ("0207 183 8750", "rejected")])
def test_a_phone_must_be_e164(sandbox: SandboxServer, phone: str, status: str) -> None:
    assert post(sandbox, upsert(phone), field="phone").json()["results"][0]["status"] == status


def test_an_upsert_changes_the_fields_it_carries(sandbox: SandboxServer) -> None:
    post(sandbox, upsert("a@x.org", name="A", country="GB"))
    post(sandbox, upsert("a@x.org", country=None), key="k2")

    assert sandbox.store.read("l", ["a@x.org", "b@x.org"]) == {
        "a@x.org": {"name": "A", "country": None},
        "b@x.org": None,
    }


def test_a_repeated_key_gets_the_same_answer_and_does_nothing(sandbox: SandboxServer) -> None:
    first = post(sandbox, upsert("a@x.org"))
    again = post(sandbox, upsert("a@x.org"))
    other = post(sandbox, upsert("b@x.org"))

    assert again.content == first.content
    assert other.status_code == 409
    assert sandbox.store.query("select count(*) from effects") == [(1,)]


def test_too_many_requests_are_told_when_to_come_back(sandbox: SandboxServer) -> None:
    answers = [post(sandbox, upsert("a@x.org"), key=f"k{number}") for number in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"key_field": "email", "operations": [1]}'])
def test_a_malformed_request_is_refused(sandbox: SandboxServer, content: bytes) -> None:
    assert httpx.post(f"{sandbox.url}/lists/l/operations", content=content).status_code == 400


def test_what_it_holds_can_be_read_back_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sqlite"
    with SandboxServer(path, clock=FakeTime()) as sandbox:
        post(sandbox, upsert("a@x.org", name="A"))
    with SandboxServer(path, clock=FakeTime()) as sandbox:
        members = httpx.get(f"{sandbox.url}/lists/l/members").json()
        read = httpx.post(f"{sandbox.url}/lists/l/read", json={"keys": ["a@x.org", "b@x.org"]}).json()
        lists = httpx.get(f"{sandbox.url}/lists").json()

    assert members == {"members": {"a@x.org": {"name": "A"}}, "next": None}
    assert read == {"members": {"a@x.org": {"name": "A"}, "b@x.org": None}}
    assert lists == {"lists": {"l": 1}}


LATER = SandboxRules(reject_keys="^blocked", seconds_to_finish=60)


def test_a_sandbox_that_answers_later_tells_of_each_row_when_the_work_is_done(tmp_path: Path) -> None:
    time = FakeTime()
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=time, rules=LATER) as sandbox:
        answer = post(sandbox, upsert("a@x.org"), upsert("blocked@x.org"))
        again = post(sandbox, upsert("a@x.org"), upsert("blocked@x.org"))
        other = post(sandbox, upsert("b@x.org"))
        url = f"{sandbox.url}/lists/l/receipts/{answer.json()['receipt']}"
        early = httpx.get(url).json()
        time.now += timedelta(seconds=60)
        done = [httpx.get(url).json() for _ in range(2)]
        effects = sandbox.store.query("select key, status from effects")
        unknown = httpx.get(f"{sandbox.url}/lists/l/receipts/never-given")

    assert (answer.status_code, again.content, other.status_code) == (202, answer.content, 409)
    assert early == {"receipt": answer.json()["receipt"], "state": "working"}
    results = [{"status": "delivered"}, {"status": "rejected", "reason": "blocked_by_rule"}]
    assert done == [{"receipt": answer.json()["receipt"], "state": "done", "results": results}] * 2
    assert effects == [("a@x.org", "delivered"), ("blocked@x.org", "rejected")]
    assert unknown.status_code == 404


def test_work_that_was_taken_is_done_in_order_after_a_restart(tmp_path: Path) -> None:
    path, time = tmp_path / "sandbox.sqlite", FakeTime()
    with SandboxServer(path, clock=time, rules=LATER) as sandbox:
        post(sandbox, upsert("a@x.org", name="A"))
        post(sandbox, upsert("a@x.org", name="B"), key="k2")
        post(sandbox, {"do": "remove", "key": "b@x.org"}, upsert("b@x.org"), key="k3")
        before = sandbox.store.counts()
    time.now += timedelta(seconds=60)
    with SandboxServer(path, clock=time, rules=LATER) as sandbox:
        read = httpx.post(f"{sandbox.url}/lists/l/read", json={"keys": ["a@x.org", "b@x.org"]}).json()

    assert (before, read) == ({}, {"members": {"a@x.org": {"name": "B"}, "b@x.org": {}}})


def test_a_taken_port_is_one_clear_error(sandbox: SandboxServer, tmp_path: Path) -> None:
    port = int(sandbox.url.rsplit(":", 1)[1])

    with (
        pytest.raises(FatalActivationError, match="choose another --port"),
        SandboxServer(tmp_path / "other.sqlite", clock=FakeTime(), port=port),
    ):
        pass
