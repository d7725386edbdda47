"""The secret behind the keyed hashes is replaced: people keep their ids, a no stays a no, nothing is sent."""

import sqlite3

import pytest

from orchestration.deployment import open_deployment
from orchestration.errors import DeploymentError
from orchestration.identity import key_rotation
from orchestration.identity.key_rotation import rotate_identifier_key
from orchestration.settings import Settings, utc_now
from orchestration.warehouse import Warehouse
from tests.scenarios.house import House

pytestmark = [pytest.mark.scenario, pytest.mark.slow]

WHO_IS_WHO = "select identifier_type, identifier_value, canonical_id from marts.identity_graph order by all"
WHEN = (
    "select canonical_id, valid_from, valid_to, count(*) from marts.identity_graph_history "
    "group by all order by all"
)
CHANGES = (
    "select change_type, canonical_id, former_canonical_id, count(*) from marts.identity_changes "
    "group by all order by all"
)
REACHED = (
    "select channel, audience_name, identifier_value from marts.audience_memberships order by all",
    "select channel, identifier_value, rule, decision from marts.contact_points order by all",
)


def test_everybody_keeps_her_id_and_a_no_stays_a_no(house: House) -> None:
    asked = (WHO_IS_WHO, WHEN, CHANGES, *REACHED)
    before = [house.query(statement) for statement in asked]
    keys_before = house.query("select identifier_key from marts.identity_graph")
    denied_before = denied_addresses(house)

    assert "say --yes" in house.cdp("identity", "rotate-key").stdout
    rotated = house.cdp("identity", "rotate-key", "--yes")
    assert rotated.returncode == 0, rotated.stderr
    assert denied_addresses(house) == denied_before
    finished = house.run()

    assert "0 operations" in finished.stdout
    assert [house.query(statement) for statement in asked] == before
    assert not set(keys_before) & set(house.query("select identifier_key from marts.identity_graph"))
    assert house.query("select is_full from intermediate.int_identity_build_ended") == [(True,)]
    assert denied_addresses(house) == denied_before


def test_a_rotation_that_was_killed_is_ended_by_the_next_and_loads_wait_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = denied_addresses(house)
    settings = Settings(home=house.home)
    deployment = open_deployment(settings, utc_now)
    warehouse = Warehouse(settings.warehouse_path, "1GB", 2)

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(key_rotation, "rekey_ledger", killed)
        with pytest.raises(KeyboardInterrupt):
            rotate_identifier_key(deployment, warehouse)
    refused = house.cdp("run")
    assert refused.returncode == 1
    assert "cdp identity rotate-key" in refused.stderr

    done = rotate_identifier_key(deployment, warehouse)
    assert done.ledger_rows > 0
    assert denied_addresses(house) == before
    with pytest.raises(DeploymentError, match="is the one in use"):
        rotate_identifier_key(deployment, warehouse, settings.identifier_key_path)


def denied_addresses(house: House) -> list[tuple[str, str]]:
    """What the ledger denies, by the address that the marts (not their snapshot) know under the key."""
    warehouse = Warehouse(house.home / "warehouse.duckdb", "1GB", 2)
    with warehouse.connect() as connection:
        addresses = dict(
            connection.execute("select identifier_key, normalised_value from raw.identifiers").fetchall()
        )
    ledger = sqlite3.connect(house.home / "ledger.sqlite")
    try:
        found = ledger.execute("select identifier_key, reason from denials where identifier_key is not null")
        return sorted((addresses[key], reason) for key, reason in found)
    finally:
        ledger.close()
