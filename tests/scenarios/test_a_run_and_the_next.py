"""The main job, end to end: what it says adds up, is true, and is not said twice."""

import json
import re
import sqlite3
from pathlib import Path

import duckdb
import pytest

from tests.scenarios.conftest import FirstRun
from tests.scenarios.house import House

pytestmark = pytest.mark.scenario


def truth(house: House, table: str) -> Path:
    return house.home / "sample" / "truth" / f"{table}.parquet"


def rows(statement: str) -> list[tuple[object, ...]]:
    connection = duckdb.connect()
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def differences(house: House, ours: str, theirs: str) -> list[tuple[object, ...]]:
    """Rows that only one side has; both statements run on the snapshot, truth read from its files."""
    connection = duckdb.connect(str(house.home / "snapshot" / "warehouse.duckdb"), read_only=True)
    try:
        return connection.execute(
            f"with ours as ({ours}), theirs as ({theirs}) "
            "select 'only ours' as side, * from (from ours except from theirs) "
            "union all select 'only truth' as side, * from (from theirs except from ours)"
        ).fetchall()
    finally:
        connection.close()


def check_results(house: House) -> set[str]:
    """What Dagster's catalogue shows for the checks of the newest run."""
    with sqlite3.connect(house.home / "dagster" / "storage" / "runs" / "index.db") as storage:
        found = storage.execute(
            "select execution_status from asset_check_executions "
            "where run_id = (select run_id from asset_check_executions order by id desc limit 1)"
        ).fetchall()
    return {status for (status,) in found}


def test_every_event_received_is_accepted_a_duplicate_or_quarantined(first_run: FirstRun) -> None:
    expected = json.loads((first_run.house.home / "sample" / "truth" / "event_counts.json").read_text())

    events = first_run.house.event_counts()

    assert (events["accepted"], events["duplicates"]) == (expected["accepted"], expected["duplicates"])
    assert events["quarantined_by_code"] == expected["quarantined"]
    assert min(events["accepted"], events["duplicates"], events["quarantined"]) > 0


def test_status_and_sql_tell_the_same_numbers(first_run: FirstRun) -> None:
    house = first_run.house
    statement = (
        "select (select sum(received) from raw.event_batches) as received, "
        "(select count(*) from raw.events) as accepted, "
        "(select count(*) from raw.events_duplicated) as duplicates, "
        "(select count(*) from raw.events_quarantined) as quarantined"
    )

    by_sql = house.json("sql", statement)[0]
    by_status = house.json("status")["events"]

    assert {name: int(value) for name, value in by_sql.items()} == {
        name: by_status[name] for name in ("received", "accepted", "duplicates", "quarantined")
    }


def test_people_are_exactly_those_of_the_truth(first_run: FirstRun) -> None:
    """Same partition of identifiers: our people and the true people correspond one to one."""
    house = first_run.house
    connection = duckdb.connect(str(house.home / "snapshot" / "warehouse.duckdb"), read_only=True)
    connection.execute(
        "create temp table truth as select * from read_parquet(?)", [str(truth(house, "identifiers"))]
    )
    wrong = connection.execute(
        """
        with pairs as (
            select truth.person_id, graph.canonical_id, truth.identifier_type, truth.identifier_value
            from truth
            full join marts.identity_graph as graph
                on truth.identifier_type = graph.identifier_type
                and truth.identifier_value = graph.identifier_value
        )
        select 'identifier of a person is missing or of nobody is there' as what, identifier_type, count(*)
        from pairs where (person_id is null) <> (canonical_id is null) group by all
        union all
        select 'person is split', '', count(*) from (
            select person_id from pairs where person_id is not null and canonical_id is not null
            group by person_id having count(distinct canonical_id) > 1
        ) having count(*) > 0
        union all
        select 'people are merged', '', count(*) from (
            select canonical_id from pairs where person_id is not null and canonical_id is not null
            group by canonical_id having count(distinct person_id) > 1
        ) having count(*) > 0
        """
    ).fetchall()
    connection.close()

    assert wrong == []


def test_every_consent_decision_is_that_of_the_truth(first_run: FirstRun) -> None:
    wrong = differences(
        first_run.house,
        "select identifier_type, identifier_value, channel, purpose, decision, rule "
        "from marts.contact_points",
        "select identifier_type, identifier_value, channel, purpose, decision, reason "
        f"from read_parquet('{truth(first_run.house, 'consent')}')",
    )

    assert wrong == []


def test_every_membership_and_exclusion_is_that_of_the_truth(first_run: FirstRun) -> None:
    house = first_run.house
    people = (
        "(select distinct truth.person_id, graph.canonical_id "
        f"from read_parquet('{truth(house, 'identifiers')}') as truth "
        "inner join marts.identity_graph as graph on truth.identifier_type = graph.identifier_type"
        " and truth.identifier_value = graph.identifier_value where truth.person_id is not null)"
    )

    wrong = differences(
        house,
        "select audience_name, canonical_id, channel, true as is_member, '' as reason "
        "from marts.audience_memberships union all "
        "select audience_name, canonical_id, channel, false, reason from marts.audience_exclusions",
        "select audience, people.canonical_id, channel, is_member, "
        "case when is_member then '' else reason end "
        f"from read_parquet('{truth(house, 'memberships')}') as memberships "
        f"inner join {people} as people on memberships.person_id = people.person_id",
    )
    total = rows(f"select count(*) from read_parquet('{truth(house, 'memberships')}')")
    ours = house.query(
        "select (select count(*) from marts.audience_memberships) + "
        "(select count(*) from marts.audience_exclusions)"
    )

    assert wrong == []
    assert ours == total


def test_every_member_is_at_its_destination_and_nobody_else(first_run: FirstRun) -> None:
    syncs = first_run.house.json("status")["syncs"]

    unsettled = [sync for sync in syncs if sync["deferred"] or sync["in_doubt"]]
    wrong = [
        sync["sync"]
        for sync in syncs
        if sync["acknowledged"] != sync["adds"] + sync["sends"] - sync["rejected"] - sync["suppressed"]
    ]

    assert len(syncs) == 9
    assert sum(sync["acknowledged"] for sync in syncs) > 0
    assert (unsettled, wrong) == ([], [])


def test_the_summary_says_what_happened_and_where_to_look(first_run: FirstRun) -> None:
    events = first_run.house.event_counts()

    assert f"{events['received']:,} received = {events['accepted']:,} accepted" in first_run.stdout
    assert "new_customers" in first_run.stdout
    assert "cdp ui" in first_run.stdout
    assert "done" in first_run.stderr
    assert "failed" not in first_run.stderr
    assert re.search(r"(\d+) of \1 checks passed", first_run.stderr)


@pytest.mark.slow
def test_a_second_run_sends_nothing_and_says_so(house: House) -> None:
    before = house.event_counts()

    finished = house.run()

    assert "Nothing new: 0 operations." in finished.stdout
    assert house.event_counts() == before
    assert check_results(house) == {"SUCCEEDED"}


def test_nothing_is_written_outside_home(first_run: FirstRun) -> None:
    """The run had no HOME; what dbt, dlt and Dagster keep is in CDP_HOME."""
    assert (first_run.house.home / "dagster" / "storage").is_dir()
    assert (first_run.house.home / "dbt" / "target" / "manifest.json").is_file()
    assert not (first_run.house.project / "dbt_project" / "target").exists()
    assert not (first_run.house.project / "dbt_project" / "logs").exists()


def test_the_run_stands_in_dagsters_storage_as_a_run_of_the_job(first_run: FirstRun) -> None:
    last = first_run.house.json("status")["last_run"]

    assert (last["job"], last["status"]) == ("tick", "success")
