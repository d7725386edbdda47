"""What splink's own clustering takes for the same graph: not a limit but a peer, which knows no rule either.

python splink_clustering.py FOLDER -> one JSON line with the seconds. FOLDER has nodes.parquet and
links.parquet. On a long chain it does not end in useful time. None of the project's code.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from splink import DuckDBAPI
from splink.clustering import cluster_pairwise_predictions_at_threshold


def main(folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        config = {"memory_limit": "4GB", "threads": 2}
        warehouse = duckdb.connect(str(Path(work) / "splink.duckdb"), config=config)
        for table in ("nodes", "links"):
            warehouse.execute(f"create table {table} as from '{folder / table}.parquet'")
        api = DuckDBAPI(connection=warehouse)
        start = time.perf_counter()
        clusters = cluster_pairwise_predictions_at_threshold(
            "nodes",
            "links",
            api,
            node_id_column_name="identifier_key",
            edge_id_column_name_left="from_key",
            edge_id_column_name_right="to_key",
        )
        seconds = time.perf_counter() - start
        count = warehouse.execute(
            f"select count(distinct cluster_id) from {clusters.physical_name}"
        ).fetchone()
    assert count is not None
    return {"seconds": seconds, "clusters": float(count[0])}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
