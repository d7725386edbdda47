"""The suspected pairs of profiles: of those of the last run, kept in raw.identity_suspicions for the next."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.times import naive_utc
from orchestration.errors import FatalOrchestrationError
from orchestration.sql_files import one_row, read_sql

TABLE = "identity_suspicions"


@dataclass(frozen=True)
class Suspected:
    """What a match left in the table: how many pairs, of them new, and how many former ones went."""

    pairs: int
    new_pairs: int
    gone_pairs: int

    def as_json(self) -> dict[str, Any]:
        """For a JSON document."""
        return asdict(self)


def read_profiles(snapshot: duckdb.DuckDBPyConnection) -> pa.Table:
    """The profiles that the last run left to match; raises where no run has built them."""
    try:
        return snapshot.execute(read_sql("profiles_to_match")).to_arrow_table()
    except duckdb.CatalogException as error:
        raise FatalOrchestrationError(
            "There are no profiles to match yet: no run has built the models. Start `cdp run` and try again."
        ) from error


def count_of_two_people(snapshot: duckdb.DuckDBPyConnection, pairs: pa.Table) -> int:
    """How many of the pairs are two people's by the last run."""
    snapshot.register("found", pairs)
    found = one_row(snapshot, "suspicions_of_two_people") or {"pairs": 0}
    snapshot.unregister("found")
    return int(found["pairs"])


def replace_suspicions(
    connection: duckdb.DuckDBPyConnection, pairs: pa.Table, *, rules_hash: str, at: datetime
) -> Suspected:
    """Put these pairs in the place of the former ones, in one transaction.

    A pair that was suspected before keeps the moment of its first suspicion.
    """
    connection.register("found", pairs)
    connection.execute("begin")
    try:
        parameters: Mapping[str, Any] = {"rules_hash": rules_hash, "at": naive_utc(at)}
        connection.execute(read_sql("suspicions_next"), dict(parameters))
        counts = one_row(connection, "suspicions_counts") or {}
        connection.execute(f"delete from raw.{TABLE}")
        connection.execute(
            f"insert into raw.{TABLE} by name "
            "select * exclude (was_suspected) from suspicions_next order by from_key, to_key"
        )
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    finally:
        connection.unregister("found")
    return Suspected(**{name: int(count) for name, count in counts.items()})
