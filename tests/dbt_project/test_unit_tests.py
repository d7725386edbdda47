"""The unit tests that stand beside the models are asked here: a build of real data leaves them out."""

from pathlib import Path

import duckdb
import pytest

from activation.ledger import Ledger
from activation.projection import project
from tests.dbt_project.dbt_child import run_dbt
from tests.dbt_project.identity_house import IdentityHouse


@pytest.mark.slow
def test_every_unit_test_of_the_models_passes(tmp_path: Path) -> None:
    """Over a warehouse without a row: unit tests bring their own, and need only the columns."""
    warehouse = IdentityHouse(tmp_path).warehouse
    with duckdb.connect(str(warehouse)) as connection, Ledger(tmp_path / "ledger.sqlite") as ledger:
        project(connection, ledger)
    places = ("--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs"))
    moment = ("--vars", '{"as_of": "2026-01-01 00:00:00"}')
    for command in (("seed",), ("run",), ("test", "--select", "test_type:unit")):
        run_dbt(warehouse, [*command, "--quiet", *places, *moment])
