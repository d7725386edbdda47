"""The commands say what is there, in words or as JSON, and show no value of a quarantined line unasked."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
import structlog.testing
import typer
from typer.testing import CliRunner

from ingestion.cli import IngestionContext, commands
from ingestion.errors import RejectedInputError
from ingestion.field_readers import FieldReader
from ingestion.range_replay import drop_replay, replay_range
from ingestion.registry import Registry, load_registry
from ingestion.replay import replay_quarantine
from ingestion.sealing import seal
from tests.ingestion.messages import KEY, LOADED_AT, NOW, House, raw

CANARY = "zz-canary-7f3a@example.test"


@pytest.fixture
def app(house: House) -> typer.Typer:
    @contextmanager
    def snapshot() -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(house.warehouse), read_only=True) as connection:
            yield connection

    context = IngestionContext(
        registry=load_registry,
        event_log=lambda: house.log,
        open_snapshot=snapshot,
        clock=lambda: NOW,
        replay=lambda selection: replay_quarantine(
            selection,
            registry=load_registry(),
            warehouse=house.warehouse,
            work_folder=house.folder / "work",
            key=KEY,
            clock=lambda: LOADED_AT,
        ),
        replay_range=lambda asked: replay_range(
            asked,
            log=house.log,
            registry=load_registry(),
            warehouse=house.warehouse,
            work_folder=house.folder / "work",
            key=KEY,
            clock=lambda: LOADED_AT,
        ),
        drop_replay=lambda schema: drop_replay(
            schema, warehouse=house.warehouse, work_folder=house.folder / "work"
        ),
        seal=lambda: seal(house.log, NOW + timedelta(days=3)),
        now=lambda: NOW,
        pages_folder=house.folder / "contracts",
        streams_file=house.folder / "streams.yml",
        streams_folder=house.folder / "streams",
        keys_file=house.folder / "collector" / "write_keys.json",
        operator="anna",
        resolve_secret=lambda name: name,
        find_readers=lambda event, paths: (
            FieldReader("model", f"reads_{event}", "reads"),
            FieldReader("audience", "-".join(sorted(paths)), "reads"),
            FieldReader("sync", "some_sync", "follows"),
        ),
    )
    root = typer.Typer()
    for noun, app in commands(context).items():
        root.add_typer(app, name=noun)
    return root


def without_event(event: str) -> Registry:
    """A registry whose sources do not send this event yet."""
    registry = load_registry()
    sources = tuple(
        source.model_copy(
            update={"events": tuple(mapped for mapped in source.events if mapped.event != event)}
        )
        for source in registry.sources
    )
    return dataclasses.replace(registry, sources=sources)


def run(app: typer.Typer, *arguments: str, given: bytes | None = None) -> str:
    result = CliRunner().invoke(app, arguments, input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_contracts_are_checked_and_listed_with_the_calls_they_are_for(app: typer.Typer) -> None:
    assert "14 contracts and 2 sources are sound" in run(app, "contracts", "check")
    rows = {row["contract"]: row for row in json.loads(run(app, "contracts", "list", "--json"))}
    assert len(rows) == 14
    assert rows["consent_changed"]["calls"] == [
        "web: track Consent Changed",
        "operator: track Consent Changed",
    ]
    assert "identified" in run(app, "contracts", "list")


def test_events_are_appended_from_a_file_or_from_standard_input(
    app: typer.Typer, house: House, tmp_path: Path
) -> None:
    (tmp_path / "events.jsonl").write_bytes(raw("m-1") + b"\n" + raw("m-2"))
    run(app, "events", "append", str(tmp_path / "events.jsonl"), "--source", "web")
    counts = json.loads(
        run(app, "events", "append", "-", "--source", "web", "--json", given=raw("m-3") + b"\n")
    )
    assert counts["count"] == 1
    assert house.load().accepted == 3


def test_an_unknown_source_or_file_is_refused_before_anything_is_written(
    app: typer.Typer, house: House
) -> None:
    with pytest.raises(RejectedInputError, match="known are operator, web"):
        run(app, "events", "append", "-", "--source", "wbe", given=raw())
    with pytest.raises(RejectedInputError, match="cannot be read"):
        run(app, "events", "append", "absent.jsonl", "--source", "web")
    assert house.log.segments() == {}


def test_quarantine_shows_counts_first_and_values_only_on_request(app: typer.Typer, house: House) -> None:
    house.receive(
        raw("m-1", event="Signed Up", properties={"email": [CANARY]}),
        raw("m-2", event="Signed Up", properties={"email": 7}),
        raw("m-3", timestamp=CANARY),
    )
    house.load()
    listed = run(app, "quarantine", "list")
    assert listed.splitlines()[0] == "3 lines are in quarantine."
    assert "INVALID_PROPERTIES" in listed.splitlines()[1]
    found = json.loads(run(app, "quarantine", "list", "--json", "--code", "BAD_TIMESTAMP"))
    assert (found["total"], len(found["lines"])) == (1, 1)
    place = found["lines"][0]["place"]
    shown = run(app, "quarantine", "show", place)
    assert "BAD_TIMESTAMP" in shown
    assert CANARY not in listed + shown + json.dumps(found)
    assert CANARY in run(app, "quarantine", "show", place, "--raw")


@pytest.mark.parametrize("place", ["nowhere", "2010-12-01/000001.log:99", "2010-12-01/000001.log:x"])
def test_a_place_where_nothing_stands_is_an_error(app: typer.Typer, house: House, place: str) -> None:
    house.load()
    with pytest.raises(RejectedInputError, match="cdp quarantine list"):
        run(app, "quarantine", "show", place)


def test_a_replay_shows_its_plan_and_does_it_only_when_told(app: typer.Typer, house: House) -> None:
    house.receive(raw("m-1", event="Shop Opened"), raw("m-2", event="Product Viewed"), b"{broken")
    house.load(without_event("Product Viewed"))

    plan = run(app, "quarantine", "replay")
    with structlog.testing.capture_logs():
        done = json.loads(run(app, "quarantine", "replay", "--yes", "--json"))
        nothing = run(app, "quarantine", "replay", "--code", "OVERSIZE", "--yes")

    assert "3 lines in quarantine are meant." in plan
    assert "1  would be accepted    product_viewed" in plan
    assert "Nothing was changed; say --yes to do it." in plan
    assert done["accepted"] == {"product_viewed": 1}
    assert done["refused"] == {"MALFORMED_JSON": 1, "UNKNOWN_EVENT": 1}
    assert nothing == "0 lines in quarantine are meant.\n"


def test_a_key_is_shown_once_and_its_state_ever_after(app: typer.Typer) -> None:
    made = json.loads(run(app, "keys", "create", "web", "--event", "Signed Up", "--json"))
    newer = json.loads(run(app, "keys", "rotate", made["key_id"], "--grace-days", "1", "--json"))
    assert "is revoked" in run(app, "keys", "revoke", newer["key_id"])
    rows = json.loads(run(app, "keys", "list", "--json"))
    assert [(row["key_id"], row["state"], row["events"]) for row in rows] == [
        (made["key_id"], "expiring", ["Signed Up"]),
        (newer["key_id"], "revoked", ["Signed Up"]),
    ]
    listed = run(app, "keys", "list") + json.dumps(rows)
    assert "only Signed Up" in listed
    assert made["write_key"] not in listed
    assert "sha256" not in listed
    assert run(app, "keys", "create", "operator").startswith("wk_")


def test_a_key_for_an_unknown_source_is_refused(app: typer.Typer) -> None:
    with pytest.raises(RejectedInputError, match="known are operator, web"):
        run(app, "keys", "create", "wbe")


def test_what_is_over_is_sealed_and_can_be_read_verified_and_counted(app: typer.Typer, house: House) -> None:
    house.receive(raw("m-1"), raw("m-2"))
    assert "1 segments sealed" in run(app, "events", "seal")
    counts = json.loads(run(app, "events", "status", "--json"))
    assert (counts["segments"], counts["sealed"], counts["first_day"]) == (1, 1, "2010-12-01")
    assert "1 sealed segments read, 0 places damaged." in run(app, "events", "verify")
    whole = run(app, "events", "read", "--from", "2010-12-01", "--to", "2010-12-02", "--source", "web")
    assert [line.split("\t")[0] for line in whole.splitlines()] == [
        "2010-12-01/000001.log:1",
        "2010-12-01/000001.log:2",
    ]
    assert run(app, "events", "read", "--from", "2010-12-02", "--to", "2010-12-03") == ""
    [pack] = (house.log.root / "sealed").iterdir()
    pack.write_bytes(pack.read_bytes()[:-9])
    with pytest.raises(RejectedInputError, match="2 places of the event log are damaged"):
        run(app, "events", "verify")


def test_discarded_lines_stay_where_they_are_and_are_asked_about_no_more(
    app: typer.Typer, house: House
) -> None:
    house.receive(
        raw("m-1"), b"{broken", raw(event="Order Complete"), raw(event="Order Complete", userId="u")
    )
    house.load()
    selected = ("quarantine", "discard", "--code", "UNKNOWN_EVENT", "--reason", "A misspelled test release.")
    plan = run(app, *selected)
    assert "2 lines in quarantine are meant." in plan
    assert "Nothing was changed" in plan
    assert house.load().received == 0
    assert json.loads(run(app, *selected, "--yes", "--json")) == {
        "is_done": True,
        "lines": 2,
        "by_code": {"UNKNOWN_EVENT": 2},
    }
    assert house.load().accepted == 1
    listed = run(app, "quarantine", "list")
    assert listed.splitlines()[0] == "1 lines are in quarantine. 2 more were discarded."
    assert run(app, "quarantine", "list", "--discarded").startswith(
        "2 lines were discarded. 1 more are open."
    )
    assert "0 lines in quarantine are meant." in run(app, *selected, "--yes")
    assert house.load().received == 0
    assert house.rows("select count(*) from raw.events_quarantined") == [(3,)]
    assert house.rows(
        "select sum(received) = sum(accepted + duplicates + quarantined) from raw.event_batches"
    ) == [(True,)]
    [(decided_by, reason)] = house.rows(
        "select properties ->> 'decided_by', properties ->> 'reason' from raw.events "
        "where event_name = 'quarantine_discarded'"
    )
    assert (decided_by, reason) == ("anna", "A misspelled test release.")
    [(place,)] = house.rows(
        "select segment || ':' || line from raw.events_quarantined where event_id is not null limit 1"
    )
    assert "1 lines in quarantine are meant." in run(app, "quarantine", "replay", "--place", place)
    assert "1 lines in quarantine are meant." in run(app, "quarantine", "replay")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_discard_needs_a_reason_that_others_can_read(app: typer.Typer, house: House, reason: str) -> None:
    house.receive(b"{broken")
    house.load()
    with pytest.raises(RejectedInputError, match="say it in a sentence"):
        run(app, "quarantine", "discard", "--reason", reason, "--yes")
    assert house.load().received == 0


def test_a_range_is_read_again_beside_raw_and_the_shadow_is_removed(app: typer.Typer, house: House) -> None:
    house.receive(raw("m-1"), raw("m-2"))
    house.load(without_event("Product Viewed"))
    day = ("--from", "2010-12-01", "--to", "2010-12-02")
    said = run(app, "replay", *day)
    assert "2 lines were read again, 2 of them end otherwise." in said
    assert "2  product_viewed       quarantined UNKNOWN_EVENT, now accepted" in said
    assert "--in-place --yes" in said
    assert house.rows("select count(*) from raw.events") == [(0,)]
    assert "is removed" in run(app, "replay", "--drop", "replay_201012010000_201012020000")
    with structlog.testing.capture_logs():
        done = json.loads(run(app, "replay", *day, "--in-place", "--yes", "--json"))
    assert (done["lines"], done["changed"], done["is_in_place"]) == (2, 2, True)
    assert house.rows("select count(*) from raw.events") == [(2,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give --from and --to"),
        (("--from", "2010-12-02", "--to", "2010-12-01"), "holds no moment"),
        (("--from", "2010-12-01", "--to", "2010-12-02", "--schema", "raw"), "begins with replay_"),
        (("--drop", "raw"), "there is none at all"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_with_what_to_do(
    app: typer.Typer, house: House, arguments: tuple[str, ...], words: str
) -> None:
    house.load()
    with pytest.raises(RejectedInputError, match=words):
        run(app, "replay", *arguments)


def test_the_impact_of_a_field_names_who_reads_it(app: typer.Typer) -> None:
    said = run(app, "contracts", "impact", "order_completed", "items.sku")
    assert said.splitlines() == [
        "model     reads    reads_order_completed",
        "audience  reads    items.sku",
        "1 sync may have other rows then (all with --json)",
    ]
    assert len(json.loads(run(app, "contracts", "impact", "order_completed", "--json"))) == 3
    with pytest.raises(RejectedInputError, match="no contract 'ordered'; known are aliased"):
        run(app, "contracts", "impact", "ordered")
    with pytest.raises(RejectedInputError, match="no field 'sum'; it has country, currency"):
        run(app, "contracts", "impact", "order_completed", "sum")


def test_contracts_are_exported_and_who_may_send_what_is_a_table(app: typer.Typer, tmp_path: Path) -> None:
    assert json.loads(run(app, "contracts", "export", "order_completed", "--format", "avro"))["name"] == (
        "order_completed"
    )
    said = run(app, "contracts", "export", "--format", "odcs", "--out", str(tmp_path))
    assert said.startswith("14 versions of contracts are in")
    assert (tmp_path / "signed_up-1.0.0.odcs.yaml").read_text().startswith("apiVersion: v3.1.0\n")
    with pytest.raises(RejectedInputError, match="14 contracts do not fit on a terminal"):
        run(app, "contracts", "export", "--format", "avro")
    with pytest.raises(RejectedInputError, match="no published contract 'ordered'"):
        run(app, "contracts", "export", "ordered", "--format", "avro")
    rows = json.loads(run(app, "contracts", "matrix", "--json"))
    assert len(rows) == 15
    [row] = [row for row in rows if row["contract"] == "signed_up"]
    assert (row["source"], row["call"], row["accepts"], row["newest"]) == (
        "web", "track Signed Up", ["1.0.0"], "1.0.0",
    )  # fmt: skip
    assert "signed_up             web       track Signed Up             accepts 1.0.0; read by" in run(
        app, "contracts", "matrix"
    )
    said = run(app, "contracts", "docs")
    assert said.startswith("15 pages; open ")
    assert Path(said.removeprefix("15 pages; open ").strip()).exists()


def test_a_contract_is_drafted_from_a_file_of_samples(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(raw("m-1") + b"\n{broken\n" + raw("m-2", event="Seen"))
    given = (str(tmp_path / "events.jsonl"), "--team", "web", "--contact", "web@shop.example")
    assert "name: seen" in run(app, "contracts", "infer", *given, "--event", "seen")
    with pytest.raises(RejectedInputError, match="has 2 events"):
        run(app, "contracts", "infer", *given)
    out = ("--out", str(tmp_path / "drafts"))
    assert "search it for TODO" in run(app, "contracts", "infer", *given, *out)
    with pytest.raises(RejectedInputError, match="is there already"):
        run(app, "contracts", "infer", *given, *out)
    with pytest.raises(RejectedInputError, match="cannot be read"):
        run(app, "contracts", "infer", str(tmp_path / "nothing.jsonl"), *given[1:])
