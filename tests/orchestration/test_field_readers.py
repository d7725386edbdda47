"""What the project's own models, audiences and syncs read; what has no owner is named."""

import copy
from typing import Any

import pytest

from orchestration.field_readers import FieldReaders, compiled_manifest
from orchestration.owners import owned_definitions
from orchestration.settings import PROJECT_ROOT, Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def manifest(settings: Settings) -> dict[str, Any]:
    return compiled_manifest(settings)


def found(settings: Settings, event: str, *paths: str) -> dict[str, set[tuple[str, str]]]:
    by_how: dict[str, set[tuple[str, str]]] = {}
    for reader in FieldReaders(settings).find(event, frozenset(paths)):
        by_how.setdefault(reader.how, set()).add((reader.kind, reader.name))
    return by_how


@pytest.mark.usefixtures("manifest")
@pytest.mark.slow
def test_a_total_reaches_the_audiences_of_money_and_their_syncs(settings: Settings) -> None:
    readers = found(settings, "order_completed", "total")
    assert {name for kind, name in readers["reads"] if kind == "audience"} == {
        "abandoned_cart", "lapsed_high_value", "new_customers",
    }  # fmt: skip
    assert ("sync", "lapsed_high_value_email") in readers["reads"]
    assert ("model", "profiles") in readers["reads"]
    assert ("model", "event_stream") in readers["carries"]
    assert ("sync", "newsletter_de_email") not in readers["reads"]


@pytest.mark.usefixtures("manifest")
def test_a_name_reaches_the_syncs_that_send_it_and_a_view_of_a_product_nobody(settings: Settings) -> None:
    assert ("sync", "newsletter_de_email") in found(settings, "signed_up", "first_name")["reads"]
    readers = found(settings, "product_viewed", "sku")
    assert readers["reads"] == {("model", "stg_events__product_views")}
    assert "follows" not in readers


def test_the_models_are_compiled_again_only_when_the_project_changed(
    settings: Settings, manifest: dict[str, Any]
) -> None:
    path = settings.home / "dbt" / "lineage" / "manifest.json"
    before = path.stat().st_mtime_ns
    assert compiled_manifest(settings) == manifest
    assert path.stat().st_mtime_ns == before
    assert not settings.warehouse_path.exists()


def test_everything_has_an_owner_and_what_has_none_is_found(manifest: dict[str, Any]) -> None:
    owned = owned_definitions(manifest, PROJECT_ROOT)
    assert {each.kind for each in owned} == {"contract", "model", "audience", "sync"}
    assert [each for each in owned if not each.owner] == []
    broken = copy.deepcopy(manifest)
    broken["nodes"]["model.cdp.profiles"]["group"] = None
    broken["nodes"]["model.cdp.audience_newsletter_de"]["config"]["meta"].pop("owner")
    without = [(each.kind, each.name) for each in owned_definitions(broken, PROJECT_ROOT) if not each.owner]
    assert without == [("audience", "newsletter_de"), ("model", "profiles")]
