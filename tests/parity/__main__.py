"""`make parity`: build the sample's models on Spark Connect and compare every mart with DuckDB, row for row.

The server is Sail (Spark Connect protocol, Delta tables), started on loopback by this script and
stopped by it.
"""

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from tests.dbt_project.identity_oracle import Limit, Rules, resolve
from tests.dbt_project.identity_worlds import placed_in, random_world, tables_of, write_project
from tests.parity.compare import compare_marts

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".ci" / "lock" / "parity.txt"
ENVIRONMENT = ROOT / ".venv-parity"
START_SECONDS = 60
IDENTITY_RULES = Rules(
    ("user_id", "email", "anonymous_id"),
    {"user_id": Limit(1), "email": Limit(2, 20), "anonymous_id": Limit(4)},
    most_identifiers=10,
)


def prepare_environment() -> None:
    """Install the hashed lock into an environment of its own, once per version of the lock."""
    stamp = ENVIRONMENT / ".lock-sha256"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("parity: installing the Spark environment into .venv-parity", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [
        str(ENVIRONMENT / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "-r",
        str(LOCK),
    ]
    subprocess.run(pip, check=True)
    stamp.write_text(wanted)


def run_sample(home: Path) -> str:
    """Run the main job on the sample in a home of its own, suspect duplicates in it, and return its as_of."""
    environment = {"PATH": "/usr/bin:/bin", "CDP_HOME": str(home)}
    cdp = str(Path(sys.executable).parent / "cdp")
    for command in (["run"], ["identity", "match"]):
        subprocess.run([cdp, *command], check=True, env=environment, stdout=subprocess.DEVNULL, cwd=ROOT)
    manifest = json.loads((home / "sample" / "manifest.json").read_text())
    moment: str = manifest["as_of"]
    return moment.replace("T", " ").replace("Z", "")


def export(warehouse: Path, work: Path, as_of: str) -> None:
    """Write raw and activation as Parquet for Spark, and the marts that DuckDB makes of the same rows.

    Both engines build for the first time: what changed since the run would be told with its history.
    """
    copy = work / "warehouse.duckdb"
    copy.unlink(missing_ok=True)
    copy.write_bytes(warehouse.read_bytes())
    with duckdb.connect(str(copy)) as connection:
        for schema in ("staging", "intermediate", "marts"):
            connection.execute(f"drop schema if exists {schema} cascade")
    dbt = Path(sys.executable).parent / "dbt"
    project = ROOT / "dbt_project"
    subprocess.run(
        [
            str(dbt), "run", "--quiet", "--project-dir", str(project), "--profiles-dir", str(project),
            "--target-path", str(work / "target-duckdb"), "--log-path", str(work / "logs"),
            "--vars", f'{{as_of: "{as_of}"}}',
        ],
        check=True,
        env={"PATH": "/usr/bin:/bin", "CDP_WAREHOUSE_PATH": str(copy), "DO_NOT_TRACK": "1"},
    )  # fmt: skip
    connection = duckdb.connect(str(copy), read_only=True)
    tables = connection.execute(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema in ('raw', 'activation', 'marts') and not starts_with(table_name, '_dlt')"
    ).fetchall()
    for schema, table in tables:
        folder = work / "duckdb" if schema == "marts" else work / "inputs" / schema
        folder.mkdir(parents=True, exist_ok=True)
        columns = connection.execute(
            "select string_agg('\"' || column_name || '\"', ', ' order by ordinal_position) "
            "from information_schema.columns where table_schema = ? and table_name = ? "
            "and not starts_with(column_name, '_dlt')",
            [schema, table],
        ).fetchone()
        assert columns is not None
        connection.execute(f"copy (select {columns[0]} from {schema}.{table}) to '{folder / table}.parquet'")
    connection.close()


def write_identity_world(work: Path) -> None:
    """Random graphs that break every rule: the sample breaks few, and taking apart must agree too."""
    world = random_world(range(400), IDENTITY_RULES)
    for table, rows in tables_of(world).items():
        (work / "inputs" / "main").mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, work / "inputs" / "main" / f"input_{table}_given.parquet")
    write_project(work / "identity", ["given"])
    (work / "identity" / "rules.json").write_text(json.dumps(IDENTITY_RULES.as_variable()))


def compare_identity_world(work: Path) -> bool:
    """Whether Spark resolved the random graphs as the plain reference does; prints one line."""
    world = random_world(range(400), IDENTITY_RULES)
    expected = resolve(world.nodes, world.links, world.kept_apart, IDENTITY_RULES)
    with duckdb.connect() as connection:
        found = placed_in(connection, f"read_parquet('{work}/identity/found/*.parquet')")
    wrong = [node for node in expected if found.get(node) != expected[node]]
    verdict = "same" if not wrong and len(found) == len(expected) else "DIFFERS"
    print(
        f"{verdict:8} {'400 random identity graphs':32} reference {len(expected):>5} identifiers, "
        f"spark {len(found):>8}, otherwise placed {len(wrong)} {wrong[:3] or ''}"
    )
    return verdict == "same"


def free_port() -> int:
    """Return a port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Return once the server accepts connections; raise when it ended or the time is up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"parity: the Spark Connect server ended with exit code {server.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"parity: the Spark Connect server did not listen within {START_SECONDS} s")


def build_on_spark(work: Path, as_of: str) -> None:
    """Start Sail, build the project on it, stop it by its process id."""
    port = free_port()
    with (work / "sail.log").open("wb") as log:
        server = subprocess.Popen(
            [str(ENVIRONMENT / "bin" / "sail"), "spark", "server", "--ip", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            cwd=work,
        )
    try:
        wait_until_listening(server, port)
        remote = f"sc://127.0.0.1:{port}"
        subprocess.run(
            [
                str(ENVIRONMENT / "bin" / "python"), str(Path(__file__).with_name("build_on_spark.py")),
                "--remote", remote, "--project", str(ROOT / "dbt_project"),
                "--work", str(work), "--as-of", as_of,
            ],
            check=True,
            env={
                "PATH": "/usr/bin:/bin",
                "SPARK_REMOTE": remote,
                "CDP_SPARK_LOCATION": str(work / "lake" / "dbt"),
                "DO_NOT_TRACK": "1",
            },
            cwd=work,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(timeout=30)


def main() -> int:
    """Run the whole comparison and print one line per mart; exit code 1 when any row differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--home", type=Path, help="a CDP home that a run has filled already; default: run the sample"
    )
    arguments = parser.parse_args()
    work = ROOT / "var" / "parity"
    work.mkdir(parents=True, exist_ok=True)
    prepare_environment()
    home = arguments.home or work / "home"
    as_of = run_sample(home)
    export(home / "warehouse.duckdb", work, as_of)
    write_identity_world(work)
    build_on_spark(work, as_of)
    agrees_on_identity = compare_identity_world(work)
    comparisons = compare_marts(work)
    for comparison in comparisons:
        verdict = "same" if comparison.agrees else "DIFFERS"
        print(
            f"{verdict:8} {comparison.mart:32} duckdb {comparison.duckdb_rows:>8} rows, "
            f"spark {comparison.spark_rows:>8} rows, "
            f"only duckdb {comparison.only_duckdb}, only spark {comparison.only_spark}"
        )
        if comparison.example:
            print(comparison.example)
    agreeing = sum(comparison.agrees for comparison in comparisons) + agrees_on_identity
    print(f"{agreeing} passed, {len(comparisons) + 1 - agreeing} failed")
    return 0 if comparisons and agreeing == len(comparisons) + 1 else 1


if __name__ == "__main__":
    sys.exit(main())
