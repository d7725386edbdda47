"""A draft holds for every sample that it was made of, and is a contract file like any other."""

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contract import Contract, Owner
from ingestion.contract_files import parse_contract_file
from ingestion.contract_inference import contract_name, draft_contract, read_samples
from ingestion.errors import RejectedInputError
from tests.ingestion.messages import message

OWNER = Owner(team="web", contact="web@shop.example")
TODAY = date(2010, 12, 1)


def drafted(*properties: dict[str, Any]) -> Contract:
    lines = [orjson.dumps(message(event="Seen", properties=each)) for each in properties]
    text = draft_contract(read_samples(lines), "seen", OWNER, TODAY)
    [contract] = parse_contract_file("seen.yml", text).contracts()
    return contract


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["2010-12-01", "2010-12-01T08:26:00Z", "a@example.com"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b_id", "email", "x y"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "email", "$c"]), JSON), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_every_sample_is_valid_under_its_draft(samples: list[dict[str, Any]]) -> None:
    contract = drafted(*samples)
    assert [each for each in samples if not contract.validator.is_valid(each)] == []
    assert contract.status == "draft"


def test_a_draft_proposes_what_the_samples_have_in_common() -> None:
    samples = [
        {
            "plan": "free" if number % 2 else "paid",
            "amount": number + 0.5,
            "email": "a@example.com",
            "at": "2010-12-01",
        }
        for number in range(40)
    ]
    contract = drafted(
        *samples, {"plan": "free", "amount": 1, "email": "b@example.com", "at": "2010-12-02", "note": None}
    )
    fields = contract.properties["properties"]
    assert contract.properties["required"] == ["amount", "at", "email", "plan"]
    assert fields["plan"]["enum"] == ["free", "paid"]
    assert (fields["amount"]["type"], fields["at"]["format"], fields["note"]["type"]) == (
        "number",
        "date",
        "null",
    )
    assert fields["note"]["description"] == "TODO say what it means. Seen in 1 of 41 events."
    assert [(each.path, each.type) for each in contract.identifiers] == [("properties.email", "email")]
    assert contract.pii == {"amount": "none", "at": "none", "email": "direct", "note": "none", "plan": "none"}


def test_our_envelope_and_calls_of_sdks_are_read_and_other_lines_are_named() -> None:
    own = {"event_name": "order_completed", "event_id": "1", "properties": {"total": 1}}
    page = {"type": "page", "name": "Home", "properties": {"url": "/"}}
    samples = read_samples([orjson.dumps(own), b"", orjson.dumps(page), b"{broken", b"[]", b"{}", b"\xff"])
    assert sorted(samples.events) == ["order_completed", "page"]
    assert sorted(samples.events["page"].fields) == ["name", "url"]
    assert samples.unread_lines == 4
    assert sorted(samples.unread) == [4, 5, 6, 7]
    with pytest.raises(RejectedInputError, match="the file has: order_completed, page"):
        draft_contract(samples, "other", OWNER, TODAY)


@pytest.mark.parametrize(
    ("event", "name"),
    [("Order Completed", "order_completed"), ("orderCompleted", "order_completed"),
     ("2nd Visit", "event_2nd_visit"), ("$pageview", "pageview"), ("---", "")],
)  # fmt: skip
def test_an_event_has_the_name_of_a_contract(event: str, name: str) -> None:
    assert contract_name(event) == name


def test_samples_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(orjson.dumps(message())))
    with gzip.open(path) as lines:
        assert sorted(read_samples(lines).events) == ["product_viewed"]
