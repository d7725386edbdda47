"""The state of the whole graph on one page: sizes, what is shared, refused or held, what changed lately."""

from typing import Any

import duckdb

from orchestration.sql_files import one_row, rows


def audit_identity(connection: duckdb.DuckDBPyConnection, *, most: int) -> dict[str, Any]:
    """One JSON-ready document; `most` is how many people and builds are listed."""
    return {
        "build": one_row(connection, "identity_audit_build"),
        "totals": one_row(connection, "people_counts"),
        "sizes": rows(connection, "identity_audit_sizes"),
        "largest": rows(connection, "identity_audit_components", {"most": most}),
        "shared": rows(connection, "identity_audit_shared"),
        "refused": rows(connection, "identity_audit_refused"),
        "held": rows(connection, "identity_audit_held"),
        "changes": rows(connection, "identity_audit_changes", {"most": most}),
    }
