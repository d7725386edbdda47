"""A run builds what can have changed, and everything whenever that is not known."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from typer.testing import Result

from orchestration.commands import operate
from orchestration.context import Context
from orchestration.model_builds import build_arguments
from orchestration.model_inputs import (
    ModelInputs,
    forget_inputs,
    project_hash,
    read_inputs,
    record_inputs,
    recorded_inputs,
    unaffected_models,
)

AS_OF = datetime(2010, 12, 10, tzinfo=UTC)
FORMER = ModelInputs({"as_of": "2010-12-10", "project": "abc", "raw": "1", "activation": "1"})

# raw -> staged -> joined <- receipts <- activation, and a seed that nobody reads
MANIFEST = {
    "nodes": {
        f"{kind}.cdp.{name}": {"name": name, "resource_type": kind}
        for kind, name in (
            ("model", "staged"), ("model", "receipts"), ("model", "joined"), ("model", "people"),
            ("seed", "rules"), ("test", "joined_is_unique"),
        )
    },
    "sources": {
        "source.cdp.raw.events": {"source_name": "raw"},
        "source.cdp.activation.operations": {"source_name": "activation"},
    },
    "child_map": {
        "source.cdp.raw.events": ["model.cdp.staged"],
        "source.cdp.activation.operations": ["model.cdp.receipts"],
        "model.cdp.staged": ["model.cdp.joined", "model.cdp.people"],
        "model.cdp.receipts": ["model.cdp.joined"],
        "model.cdp.joined": ["test.cdp.joined_is_unique"],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "unaffected"),
    [
        (set(), ["joined", "people", "receipts", "rules", "staged"]),
        ({"activation"}, ["people", "rules", "staged"]),
        ({"raw"}, ["receipts", "rules"]),
        ({"raw", "activation"}, ["rules"]),
        ({"as_of"}, []),
        ({"project"}, []),
    ],
)
def test_what_reads_a_changed_input_even_through_others_is_built(
    changed: set[str], unaffected: list[str]
) -> None:
    assert unaffected_models(MANIFEST, frozenset(changed)) == unaffected


def test_a_test_that_reads_anything_that_is_built_is_asked(context: Context) -> None:
    """dbt would leave out every test that touches an excluded model, also one that reads a changed one."""
    arguments = build_arguments(
        AS_OF, ["contact_points", "int_contact_points_decided"], context.settings.dbt_project_dir
    )[1:]
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from orchestration.cli import main; main()",
            "dbt",
            "ls",
            "--quiet",
            *arguments,
        ],
        env={"CDP_HOME": str(context.settings.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert "cdp.assert_no_member_is_denied" in found
    assert "cdp.marts.consent.contact_points" not in found
    assert not [name for name in found if ".primary_key_contact_points" in name]


@pytest.mark.parametrize("name", ["as_of", "project", "raw", "activation"])
def test_each_input_tells_of_its_own_change(name: str) -> None:
    now = ModelInputs({**FORMER.states, name: "other"})

    assert now.changed_since(FORMER) == {name}


def test_everything_has_changed_when_the_former_build_is_not_known() -> None:
    assert FORMER.changed_since(None) == {"as_of", "project", "raw", "activation"}


def test_a_record_is_there_after_a_build_and_gone_before_the_next() -> None:
    connection = duckdb.connect()

    assert recorded_inputs(connection) is None
    record_inputs(connection, FORMER)
    assert recorded_inputs(connection) == FORMER
    forget_inputs(connection)
    assert recorded_inputs(connection) is None


def test_a_file_of_the_project_that_is_edited_renamed_or_removed_changes_its_hash(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "a.sql"
    hashes = []
    for content in ("select 1", "select 2"):
        model.write_text(content)
        hashes.append(project_hash(tmp_path))
    model.rename(tmp_path / "models" / "b.sql")
    hashes.append(project_hash(tmp_path))
    (tmp_path / "models" / "b.sql").unlink()
    hashes.append(project_hash(tmp_path))

    assert len(set(hashes)) == 4


@pytest.fixture
def loaded(context: Context) -> Context:
    """A warehouse with the tables that the models read, all empty."""
    statements = [
        "create schema raw",
        "create schema activation",
        *(
            f"create table raw.{table} (loaded_at timestamp)"
            for table in (
                "event_batches", "events", "events_quarantined", "events_duplicated", "identifiers",
                "legacy_files", "definitions",
            )
        ),
        "create table raw.identity_suspicions "
        "(from_key text, to_key text, score double, agreement text, suspected_at timestamp)",
        "insert into raw.identity_suspicions values ('a', 'b', 0.9, 'phone same', '2026-01-01')",
        *(
            f"create table activation.{table} (ledger_seq bigint)"
            for table in ("operations", "sync_runs", "acknowledged")
        ),
    ]  # fmt: skip
    with context.warehouse.connect() as connection:
        for statement in statements:
            connection.execute(statement)
    return context


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("select 1", set()),
        ("insert into raw.event_batches values ('2026-01-01')", {"raw"}),
        ("insert into raw.definitions values ('2026-01-01')", {"raw"}),
        ("insert into raw.legacy_files values ('2026-01-01')", {"raw"}),
        ("update raw.identity_suspicions set score = 0.95", {"raw"}),
        ("delete from raw.identity_suspicions", {"raw"}),
        ("insert into activation.operations values (7)", {"activation"}),
        ("insert into activation.acknowledged values (8)", {"activation"}),
    ],
)
def test_a_new_row_in_what_the_models_read_is_seen(
    loaded: Context, statement: str, changed: set[str]
) -> None:
    project = loaded.settings.dbt_project_dir
    with loaded.warehouse.connect() as connection:
        before = read_inputs(connection, as_of=AS_OF, project_dir=project)
        connection.execute(statement)
        after = read_inputs(connection, as_of=AS_OF, project_dir=project)

    assert after.changed_since(before) == changed


def test_a_build_by_hand_makes_the_next_run_build_everything(
    loaded: Context, cdp: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with loaded.warehouse.connect() as connection:
        record_inputs(connection, FORMER)
    monkeypatch.setattr(operate, "run_dbt", lambda *_: 0)

    assert cdp("dbt", "build", "--select", "profiles").exit_code == 0

    with loaded.warehouse.connect() as connection:
        assert recorded_inputs(connection) is None
