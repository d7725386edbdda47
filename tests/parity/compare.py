"""Compare every mart of the two engines row for row, as multisets, and say what differs."""

import json
from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class MartComparison:
    """How many rows of one mart each engine has, and how many rows only one of them has."""

    mart: str
    duckdb_rows: int
    spark_rows: int
    only_duckdb: int
    only_spark: int
    example: str | None

    @property
    def agrees(self) -> bool:
        """True when both engines hold the same rows, counted with repetition."""
        return self.only_duckdb == self.only_spark == 0 and self.duckdb_rows == self.spark_rows


def compare_mart(
    connection: duckdb.DuckDBPyConnection, duckdb_file: Path, spark_folder: Path, spark_rows: int
) -> MartComparison:
    """Compare one mart; columns are taken by name, timestamps without a zone, everything else exactly.

    `spark_rows` is Spark's own count: Spark writes no file for an empty table, and a lost file must not pass.
    """
    described = connection.execute("describe select * from read_parquet(?)", [str(duckdb_file)]).fetchall()
    columns = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind, *_ in described)
    ours = f"select {columns} from read_parquet('{duckdb_file}')"
    theirs = (
        f"select {columns} from read_parquet('{spark_folder}/*.parquet')"
        if spark_rows
        else f"{ours} where false"
    )

    def scalar(query: str) -> int:
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    only_ours = scalar(f"select count(*) from ({ours} except all {theirs})")
    only_theirs = scalar(f"select count(*) from ({theirs} except all {ours})")
    example = None
    if only_ours or only_theirs:
        sample = connection.execute(
            f"(select 'duckdb' as engine, * from ({ours} except all {theirs}) limit 2) "
            f"union all (select 'spark' as engine, * from ({theirs} except all {ours}) limit 2)"
        ).fetchall()
        example = "\n".join(str(row) for row in sample)
    read_rows = scalar(f"select count(*) from ({theirs})")
    if read_rows != spark_rows:
        raise RuntimeError(
            f"parity: Spark counted {spark_rows} rows in {duckdb_file.stem} and wrote {read_rows}; "
            f"look into {spark_folder} and run again"
        )
    return MartComparison(
        mart=duckdb_file.stem,
        duckdb_rows=scalar(f"select count(*) from ({ours})"),
        spark_rows=spark_rows,
        only_duckdb=only_ours,
        only_spark=only_theirs,
        example=example,
    )


def compare_marts(work: Path) -> list[MartComparison]:
    """Compare all marts exported under `work/duckdb` with those that Spark wrote under `work/spark`."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    row_counts = json.loads((work / "spark" / "row_counts.json").read_text())
    return [
        compare_mart(connection, file, work / "spark" / file.stem, row_counts[file.stem])
        for file in sorted((work / "duckdb").glob("*.parquet"))
    ]
