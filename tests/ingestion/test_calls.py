"""Every call of an SDK is an event with what the call holds beside its properties."""

from typing import Any

import orjson
import pytest

from tests.ingestion.messages import House, raw


@pytest.mark.parametrize(
    ("changes", "event_name", "account_id", "properties"),
    [
        (
            {"type": "page", "name": "Shoes", "category": "Shop", "properties": {"url": "http://x/"}},
            *("page_viewed", None, {"name": "Shoes", "category": "Shop", "url": "http://x/"}),
        ),
        (
            {"type": "page", "name": "Shoes", "properties": {"name": "Boots"}},
            *("page_viewed", None, {"name": "Boots"}),
        ),
        ({"type": "page", "properties": ...}, "page_viewed", None, {}),
        ({"type": "screen", "name": "Basket", "properties": {}}, "screen_viewed", None, {"name": "Basket"}),
        (
            {"type": "group", "groupId": "g-1", "traits": {"name": "Acme"}, "properties": ...},
            *("grouped", "g-1", {"name": "Acme"}),
        ),
        (
            {"type": "alias", "previousId": "old-1", "properties": ...},
            *("aliased", None, {"previous_id": "old-1"}),
        ),
    ],
)
def test_every_call_is_an_event(
    house: House, changes: dict[str, Any], event_name: str, account_id: str | None, properties: dict[str, Any]
) -> None:
    house.receive(raw("m-1", **{"event": ..., **changes}))
    assert house.load().accepted == 1
    ((name, account, found),) = house.rows("select event_name, account_id, properties from raw.events")
    assert (name, account, orjson.loads(found)) == (event_name, account_id, properties)


def test_an_alias_without_a_former_id_is_quarantined(house: House) -> None:
    house.receive(raw("m-1", type="alias", event=..., properties=...))
    assert house.load().by_code == {"INVALID_PROPERTIES": 1}


def test_an_alias_names_no_identifier_of_a_person(house: House) -> None:
    house.receive(raw("m-1", type="alias", event=..., previousId="old-1", properties=...))
    house.load()
    assert house.rows("select 1 from raw.identifiers where raw_value = 'old-1'") == []
