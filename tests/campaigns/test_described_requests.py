"""Whatever is made of the collector's own description, it answers as described and loses nothing it took."""

import sys
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
import schemathesis.specs.openapi.checks
from hypothesis import HealthCheck, settings

from ingestion.collector.app import build_app, description
from ingestion.collector.config import CollectorConfig
from tests.ingestion.collector.server import Running, keys_of, running
from tests.ingestion.messages import NOW, House

schema = schemathesis.openapi.from_dict(description())
STATUSES: Counter[int] = Counter()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.specs.openapi.checks.status_code_conformance,
    schemathesis.specs.openapi.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    house = House(tmp_path_factory.mktemp("house"))
    with running(house) as found:
        yield found
    report = house.load()
    sys.stdout.write(f"answers {dict(sorted(STATUSES.items()))}; {report}\n")
    assert report.received == report.accepted + report.duplicates + report.quarantined
    assert report.received > 0
    # nothing that is made up has an event that a contract accepts
    assert report.accepted == 0


def send(case: schemathesis.Case, collector: Running) -> None:
    answer = case.call(base_url=collector.url, auth=(collector.key, ""))
    STATUSES[answer.status_code] += 1
    if answer.status_code == 405:
        return  # another method than the described ones
    case.validate_response(answer, checks=CHECKS)


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_some_requests(case: schemathesis.Case, collector: Running) -> None:
    send(case, collector)


@pytest.mark.long
@schema.parametrize()
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_requests(case: schemathesis.Case, collector: Running) -> None:
    send(case, collector)


def test_every_route_is_described_and_nothing_else(house_folder: House) -> None:
    config = CollectorConfig(event_log=house_folder.log.root, keys_file=keys_of(house_folder).path)
    app = build_app(config, worker="1", clock=lambda: NOW)
    served = {(route.path, method) for route in app.routes for method in route.methods - {"HEAD"}}  # type: ignore[attr-defined]
    with running(house_folder) as collector:
        found = httpx.get(collector.url + "/openapi.json").json()
    described = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
    assert served - described == {("/openapi.json", "GET")}
    assert described - served == set()


@pytest.fixture
def house_folder(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("other"))
