from pathlib import Path

import pytest

from ingestion.registry import Registry, load_registry
from tests.ingestion.messages import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()
