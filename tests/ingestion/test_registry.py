"""A wrong contract is named with its file, its key and what to do; a call has one contract or none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.errors import ContractError
from ingestion.registry import CONTRACTS_FOLDER, SOURCES_FILE, Registry, load_registry


@pytest.mark.parametrize(
    ("source", "call", "event", "contract"),
    [
        ("web", "track", "Order Completed", "order_completed"),
        ("web", "track", "Order Cancelled", "order_cancelled"),
        ("web", "track", "Product Viewed", "product_viewed"),
        ("web", "track", "Cart Updated", "cart_updated"),
        ("web", "track", "Signed Up", "signed_up"),
        ("web", "track", "Consent Changed", "consent_changed"),
        ("web", "identify", None, "identified"),
        ("web", "identify", "whatever", "identified"),
        ("operator", "track", "Consent Changed", "consent_changed"),
        ("operator", "track", "Order Completed", None),
        ("web", "track", "order completed", None),
        ("web", "track", None, None),
        ("web", "page", None, "page_viewed"),
        ("web", "group", None, "grouped"),
        ("operator", "page", None, None),
        ("nobody", "track", "Order Completed", None),
    ],
)
def test_a_call_of_a_source_has_one_contract_or_none(
    registry: Registry, source: str, call: str, event: str | None, contract: str | None
) -> None:
    found = registry.resolve(source, call, event)
    assert (found and found.name) == contract


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONTRACTS_FOLDER, tmp_path / "contracts"))


def replace(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (replace("team: web", "team: ''"), r"product_viewed\.yml: key 'owner\.team' is wrong"),
        (replace("status: active", "status: live"), r"key 'versions\.0\.status' is wrong.*draft"),
        (
            replace("version: 1.0.0\n    status", "version: 1.0\n    status"),
            r"key 'versions\.0\.version' is wrong",
        ),
        (replace("x-pii: none, description: Article", "description: Article"), "field 'sku' has x-pii None"),
        (replace("x-pii: none, description: Article", "x-pii: public, description: Article"), "'public'"),
        (replace("description: Article number.", "description: ' '"), "field 'sku' has no description"),
        (replace("purposes: [analytics, marketing]", "purposes: [fun]"), r"key 'versions\.0\.purposes\.0'"),
        (replace("owner:", "colour: red\nowner:"), "key 'colour' is wrong"),
        (replace("owner:", "name: again\nowner:"), "key 'name' stands twice, line 3"),
        (replace("type: string, minLength: 1", "type: strng"), "key 'properties' is not a JSON Schema"),
        (replace("type: object\n", "type: array\n"), "'array', expected 'object'"),
        (replace("type: object\n", "$ref: '#'\n      type: object\n"), r"refers to another place \(\$ref\)"),
        (replace("name: product_viewed", "name: product_seen"), "expected 'product_viewed' like the file"),
        (replace("name: product_viewed", "name: ../../etc"), "key 'name' is wrong"),
        (
            replace("changelog:\n  - version: 1.0.0", "changelog:\n  - version: 0.9.0"),
            "entries for 0.9.0, expected one for each of 1.0.0",
        ),
        (replace("status: active", "status: deprecated"), "deprecated_on None"),
        (replace("status: active", "status: [active"), "cannot be read as YAML"),
        (replace("name: product_viewed", "name: &a [*a]"), "cannot be read as YAML|key 'name' is wrong"),
        (lambda text: text + "#" * 2_000_000, "expected at most 1,048,576"),
        (
            replace("identifiers: []", "identifiers: [{path: properties.sku, role: mergeable}]"),
            "exactly one",
        ),
        (
            replace(
                "identifiers: []", "identifiers: [{path: properties.size, type: email, role: mergeable}]"
            ),
            "'size' is named under 'identifiers' but",
        ),
        (
            replace("identifiers: []", "identifiers: [{path: properties.sku, type: email, role: mergeable}]"),
            "'sku' carries an identifier and has x-pii none",
        ),
        (
            replace("identifiers: []", "identifiers: [{path: sku, type: email, role: mergeable}]"),
            r"key 'versions\.0\.identifiers\.0\.path' is wrong",
        ),
    ],
)
def test_a_wrong_contract_is_refused_by_file_and_key(
    tmp_path: Path, change: Callable[[str], str], complaint: str
) -> None:
    folder = copied(tmp_path)
    path = folder / "product_viewed.yml"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(ContractError, match=complaint) as refused:
        load_registry(folder, SOURCES_FILE)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            replace("contract: identified, major: 1", "contract: identified, major: 2"),
            "'identified' major 2.*does not exist",
        ),
        (
            replace("contract: cart_updated", "contract: cart_update"),
            "'cart_update' major 1, which does not exist",
        ),
        (replace("event: Cart Updated", "event: Product Viewed"), "is defined twice"),
        (
            replace("call: track, event: Cart Updated", "call: track"),
            "track or webhook call needs an event",
        ),
        (replace("call: identify", "call: identity"), r"key 'sources\.0\.events\.6\.call' is wrong"),
        (replace("name: operator", "name: web"), "'web' is defined twice"),
    ],
)
def test_a_wrong_source_is_refused_by_what_it_maps(
    tmp_path: Path, change: Callable[[str], str], complaint: str
) -> None:
    sources = tmp_path / "event_sources.yml"
    sources.write_text(change(SOURCES_FILE.read_text()))
    with pytest.raises(ContractError, match=complaint):
        load_registry(CONTRACTS_FOLDER, sources)


def test_no_contract_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="No contract found"):
        load_registry(tmp_path, SOURCES_FILE)
