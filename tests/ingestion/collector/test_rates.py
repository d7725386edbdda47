"""A key above its rate is asked to wait; nobody else is, and nothing that was let in is lost."""

from datetime import UTC, datetime

import pytest

from ingestion.collector.keys import KeyFile, WriteKey
from ingestion.collector.rates import Rates
from tests.ingestion.collector.server import running
from tests.ingestion.messages import NOW, House, message


def key(rate: float | None) -> WriteKey:
    return WriteKey(key_id="k_1", source="web", sha256="x", created_at=NOW, events_per_second=rate)


def test_a_debt_is_paid_by_waiting() -> None:
    now = [0.0]
    rates = Rates(1.0, lambda: now[0])
    assert rates.wait(key(10)) == 0
    rates.take(key(10), 50)
    assert rates.wait(key(10)) == 4
    now[0] = 3.9
    assert rates.wait(key(10)) == 1
    now[0] = 4.1
    assert rates.wait(key(10)) == 0


def test_a_pause_saves_up_one_second_at_most() -> None:
    now = [0.0]
    rates = Rates(1.0, lambda: now[0])
    rates.take(key(10), 0)
    now[0] = 1_000.0
    rates.take(key(10), 10)
    assert rates.wait(key(10)) > 0


def test_workers_share_a_limit_evenly() -> None:
    rates = Rates(0.5, lambda: 0.0)
    rates.take(key(10), 15)
    assert rates.wait(key(10)) == 2


def test_a_key_without_a_limit_never_waits() -> None:
    rates = Rates(1.0, lambda: 0.0)
    rates.take(key(None), 10**9)
    assert rates.wait(key(None)) == 0


def test_one_key_under_pressure_does_not_slow_another(house: House) -> None:
    with running(house) as collector:
        limited = collector.keys.create("web", datetime.now(tz=UTC), None, 1.0).secret
        batch = {"batch": [message(f"limited-{number}") for number in range(50)]}
        answers = [collector.post("/v1/batch", batch, key=limited) for _ in range(3)]
        inside = collector.post("/v1/batch", {**batch, "writeKey": limited}, key=None)
        other = collector.post("/v1/track", message("other"))
        received = collector.received()
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert 40 <= int(answers[1].headers["Retry-After"]) <= 50
    assert inside.status_code == 429
    assert other.status_code == 200
    assert len(received) == 51


@pytest.mark.parametrize("rate", [None, 2.5])
def test_a_replaced_key_keeps_its_rate(house: House, rate: float | None) -> None:
    file = KeyFile(house.folder / "keys.json")
    old = file.create("web", NOW, None, rate)
    assert file.rotate(old.key.key_id, NOW).key.events_per_second == rate
