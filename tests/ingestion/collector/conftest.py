from collections.abc import Iterator

import pytest

from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import House


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One collector for a whole module; tests look only at what they sent themselves."""
    with running(House(tmp_path_factory.mktemp("collector"))) as started:
        yield started
