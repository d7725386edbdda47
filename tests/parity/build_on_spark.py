"""Build the dbt project on a Spark Connect server from exported raw tables, and export its marts.

Runs in the environment of `.ci/lock/parity.txt` (pyspark, dbt-spark), not in the project's own. The
catalog of the server lives as long as a session, so one process registers the tables and runs dbt.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from dbt.cli.main import dbtRunner
from pyspark.sql import SparkSession


def main() -> int:
    """Register the inputs, run `dbt build`, write each mart as Parquet; exit code 1 when dbt failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remote", required=True, help="sc://host:port of the Spark Connect server")
    parser.add_argument("--project", required=True, type=Path)
    parser.add_argument(
        "--work", required=True, type=Path, help="folder with inputs/; lake/ and spark/ are written"
    )
    parser.add_argument("--as-of", required=True)
    arguments = parser.parse_args()

    lake = arguments.work / "lake"
    results = arguments.work / "spark"
    for folder in (lake, results):
        shutil.rmtree(folder, ignore_errors=True)

    spark = SparkSession.builder.remote(arguments.remote).getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    for schema in sorted((arguments.work / "inputs").iterdir()):
        spark.sql(f"create database if not exists {schema.name}")
        for file in sorted(schema.glob("*.parquet")):
            # the warehouse's timestamps are UTC without a zone; Spark's `timestamp` is an instant
            columns = ", ".join(
                f"cast(`{name}` as timestamp) as `{name}`" if kind == "timestamp_ntz" else f"`{name}`"
                for name, kind in spark.read.parquet(str(file)).dtypes
            )
            spark.sql(
                f"create table {schema.name}.{file.stem} using delta "
                f"location '{lake / schema.name / file.stem}' as select {columns} from parquet.`{file}`"
            )

    if not run_dbt(arguments, ["build"], arguments.project, {"as_of": arguments.as_of}):
        return 1
    rules = json.loads((arguments.work / "identity" / "rules.json").read_text())
    if not run_dbt(arguments, ["run"], arguments.work / "identity", {"identity_rules": rules}):
        return 1
    spark.sql("select * from main.components_given").write.mode("overwrite").parquet(
        str(arguments.work / "identity" / "found")
    )

    row_counts = {}
    for mart in sorted(file.stem for file in (arguments.work / "duckdb").glob("*.parquet")):
        spark.sql(f"select * from marts.{mart}").write.mode("overwrite").parquet(str(results / mart))
        row_counts[mart] = spark.sql(f"select count(*) from marts.{mart}").collect()[0][0]
    (results / "row_counts.json").write_text(json.dumps(row_counts, indent=2))
    return 0


def run_dbt(
    arguments: argparse.Namespace, command: list[str], project: Path, variables: dict[str, object]
) -> bool:
    """Run dbt over one project with the profile of the house."""
    outcome = dbtRunner().invoke(
        [
            *(*command, "--target", "spark", "--project-dir", str(project)),
            *("--profiles-dir", str(arguments.project), "--target-path", str(arguments.work / "target")),
            *("--log-path", str(arguments.work / "logs"), "--vars", json.dumps(variables)),
            # unit tests give rows to a model; what they prove about the SQL holds on either engine
            *(("--exclude-resource-type", "unit_test") if command == ["build"] else ()),
        ]
    )
    return bool(outcome.success)


if __name__ == "__main__":
    sys.exit(main())
