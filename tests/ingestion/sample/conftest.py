"""One whole sample and one small one, generated once for all tests of the sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from ingestion.sample.generate import write_sample
from tests.ingestion.sample.oracle import Oracle

CONTRACTS = Path(__file__).parents[3] / "ingestion" / "contracts"
EVENT_CONTRACTS = {
    "Order Completed": "order_completed",
    "Order Cancelled": "order_cancelled",
    "Product Viewed": "product_viewed",
    "Cart Updated": "cart_updated",
    "Signed Up": "signed_up",
    "Consent Changed": "consent_changed",
    "identify": "identified",
}
SMALL = 20_000


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole company at scale 1."""
    out = tmp_path_factory.mktemp("company") / "sample"
    write_sample(out)
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the company."""
    out = tmp_path_factory.mktemp("small") / "sample"
    write_sample(out, events=SMALL)
    return out


def read_back(folder: Path) -> Oracle:
    validators: dict[str, Any] = {}
    for name, contract in EVENT_CONTRACTS.items():
        content = yaml.safe_load((CONTRACTS / f"{contract}.yml").read_text(encoding="utf-8"))
        schema = content["versions"][-1]["properties"]
        validators[name] = jsonschema_rs.validator_for(schema)
    oracle = Oracle(folder, validators)
    oracle.run()
    return oracle


@pytest.fixture(scope="session")
def company_read(company: Path) -> Oracle:
    return read_back(company)


@pytest.fixture(scope="session")
def small_read(small: Path) -> Oracle:
    return read_back(small)
