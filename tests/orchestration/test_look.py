"""`cdp sql`: reads the snapshot in three forms, and says clearly why it does nothing else."""

import csv
import io
import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from orchestration.context import Context
from orchestration.errors import QueryRefusedError
from orchestration.snapshot import publish_snapshot

Cdp = Callable[..., Result]


@pytest.fixture(autouse=True)
def snapshot(context: Context) -> None:
    with context.warehouse.connect() as connection:
        connection.execute("create table people as select range as id, 'a,b' as name from range(3)")
    publish_snapshot(context.warehouse, context.settings.snapshot_path)


def test_rows_come_as_a_table_as_json_or_as_csv(cdp: Cdp) -> None:
    statement = "select id, name from people order by id"

    table = cdp("sql", statement).stdout
    as_json = json.loads(cdp("sql", statement, "--json").stdout)
    as_csv = list(csv.reader(io.StringIO(cdp("sql", statement, "--csv").stdout)))

    assert table.splitlines()[1].split() == ["0", "a,b"]
    assert as_json == [{"id": number, "name": "a,b"} for number in range(3)]
    assert as_csv == [["id", "name"], ["0", "a,b"], ["1", "a,b"], ["2", "a,b"]]


def test_a_limit_cuts_and_zero_prints_all(cdp: Cdp) -> None:
    statement = "select id from people order by id"

    assert len(json.loads(cdp("sql", statement, "--json", "--limit", "2").stdout)) == 2
    assert len(json.loads(cdp("sql", statement, "--json", "--limit", "0").stdout)) == 3


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from people", "reads only"),
        ("create table x (a integer)", "reads only"),
        ("copy people to '/tmp/people.csv'", "may not reach outside the snapshot"),
        ("select * from read_text('/etc/passwd')", "may not reach outside the snapshot"),
        ("set memory_limit = '64GB'", "may not reach outside the snapshot"),
        ("select 1; select 2", "Expected one statement, found 2"),
        ("select * from peple", "Table with name peple does not exist"),
        ("selec", "syntax error"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(cdp: Cdp, statement: str, said: str) -> None:
    result = cdp("sql", statement)

    assert result.exit_code == 1
    assert isinstance(result.exception, QueryRefusedError)
    assert said in str(result.exception)


def test_an_address_that_cannot_be_one_is_refused_before_anything_is_read(cdp: Cdp) -> None:
    result = cdp("explain", "--email", "not an address")

    assert "is not an e-mail address" in str(result.exception)
