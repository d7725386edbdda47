"""Syncs as exposures of the dbt project, so that its lineage ends where people's data leaves."""

from collections.abc import Mapping
from typing import Any

import yaml

from activation.config import Definitions, Sync

FILE = "models/_syncs__exposures.yml"
HEAD = "# Written by `cdp sync exposures --write` from activation/syncs; a test keeps the two in step.\n"


def exposures_text(definitions: Definitions) -> str:
    """The file's text: one exposure for each sync, in order of name."""
    exposures = [_exposure(sync) for _, sync in sorted(definitions.syncs.items())]
    return HEAD + yaml.safe_dump(
        {"exposures": exposures}, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False
    )


def _exposure(sync: Sync) -> Mapping[str, Any]:
    reads = [*sync.source.tables, "profiles"]
    if sync.source.audience is not None:
        reads.insert(0, f"audience_{sync.source.audience}")
    return {
        "name": f"sync_{sync.name}",
        "label": sync.name,
        "type": "application",
        "description": (
            f"{sync.description} From {sync.source} to {sync.destination.name}/{sync.target.list_name}, "
            f"{sync.mode.name}."
        ),
        "owner": {"name": sync.owner.team, "email": sync.owner.contact},
        "depends_on": [f"ref('{name}')" for name in reads],
        "config": {"meta": {"file": f"activation/syncs/{sync.file.name}"}},
    }
