"""Measures who is one person when little is new: the models of identity in full, then by what changed.

python -m tests.benchmarks.stages_identity_changes EVENTS changes -> one JSON line a build. The seconds are
those of dbt's run over the models, without its start. No limit is given: compare with the full build.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from ingestion.raw_tables import RAW_TABLES

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("+int_identity_build_ended",)
# per person some nine events, three devices, an address; one event in twelve carries the address
EVENTS = """
create or replace temporary table made as
select
    range as event,
    cast(range % {people} as bigint) as person
from range({first}, {last});

insert into raw.events by name
select
    'identified' as event_name,
    'e' || event as event_id,
    '1.0.0' as version,
    timestamp '2026-01-01' + interval (event % 8640000) second as occurred_at,
    timestamp '2026-06-01' + interval ({batch}) hour as received_at,
    'web' as source_system,
    case when hash(event) % 3 > 0 then 'u' || person end as user_id,
    'd' || person || '_' || (hash(event, 1) % 3) as anonymous_id,
    case
        when hash(event) % 12 = 1 then '{{"email": "m' || person || '@x.com"}}' else '{{}}'
    end as properties,
    'segment' as segment,
    event as line,
    'batch{batch}' as batch_id
from made;

insert into raw.event_batches by name
select 'batch{batch}' as batch_id, count(*) as accepted from made;

insert into raw.identifiers by name
with carried as (
    select 'user_id' as identifier_type, user_id as raw_value from raw.events where batch_id = 'batch{batch}'
    union all
    select 'anonymous_id', anonymous_id from raw.events where batch_id = 'batch{batch}'
    union all
    select 'email', properties ->> 'email' from raw.events where batch_id = 'batch{batch}'
)
select distinct
    identifier_type,
    raw_value,
    raw_value as normalised_value,
    true as is_valid,
    md5(identifier_type || raw_value) as identifier_key,
    'k' as key_id,
    timestamp '2026-06-01' + interval ({batch}) hour as first_seen_at,
    'batch{batch}' as batch_id
from carried
anti join raw.identifiers as known using (identifier_type, raw_value)
where raw_value is not null;
"""


def main(events: int) -> None:
    """Make events, build in full, once more by nothing new, then by 1% and by 0.01% of new events."""
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as name:
        folder = Path(name)
        warehouse = folder / "warehouse.duckdb"
        with duckdb.connect(str(warehouse)) as connection:
            for schema in ("raw", "activation"):
                connection.execute(f"create schema {schema}")
            for table, columns in RAW_TABLES.items():
                connection.register("given", columns.empty_table())
                connection.execute(f"create table raw.{table} as select * from given")
        first = 0
        builds = (("in full", events), ("nothing new", 0), ("1% new", events // 100))
        for batch, (what, new) in enumerate((*builds, ("0.01% new", events // 10_000))):
            with duckdb.connect(str(warehouse)) as connection:
                if new:
                    bounds = {"first": first, "last": first + new, "people": max(events // 9, 1)}
                    connection.execute(EVENTS.format(batch=batch, **bounds))
            first += new
            seconds = _build(folder, warehouse, f"2026-07-0{batch + 1}")
            print(
                json.dumps(
                    {
                        "stage": f"all of identity, {what}",
                        "rows": new or events,
                        "seconds": seconds,
                        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
                        "limit": "",
                        "limit_input": "",
                    }
                )
            )


def _build(folder: Path, warehouse: Path, day: str) -> float:
    project = str(ROOT / "dbt_project")
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("dbt")), "--quiet", "run", "--select", *MODELS),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
            *("--vars", json.dumps({"as_of": f"{day} 00:00:00"})),
        ],
        env={"PATH": "/usr/bin:/bin", "CDP_WAREHOUSE_PATH": str(warehouse), "DO_NOT_TRACK": "1"},
        check=True,
    )
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute("select is_full from intermediate.int_identity_build_ended").fetchone()
    assert found == (day == "2026-07-01",), found
    return float(json.loads((folder / "target" / "run_results.json").read_text())["elapsed_time"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
