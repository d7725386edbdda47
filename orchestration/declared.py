"""Every reviewed definition of the project as it stands in its file, for the rows of raw.definitions."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from ingestion.definitions import Definition
from ingestion.registry import load_registry

AUDIENCE_PREFIX = "audience_"


def declared_definitions(project_root: Path) -> Iterator[Definition]:
    """Contracts, syncs, destinations, audiences and policies, in order of kind and file.

    A contract has a definition for each published version; any other file is named by its content, so its
    version is the beginning of its hash.
    """
    for contract in load_registry().contracts:
        yield Definition("contract", contract.name, contract.version, contract.text)
    for path in sorted((project_root / "activation" / "syncs").glob("*.yml")):
        yield _by_content("sync", path.stem, path)
    yield _by_content("destination", "destinations", project_root / "activation" / "destinations.yml")
    dbt_project = project_root / "dbt_project"
    for name in audience_names(dbt_project):
        path = dbt_project / "models" / "marts" / "audiences" / f"{AUDIENCE_PREFIX}{name}.sql"
        if path.exists():
            yield _by_content("audience", name, path)
    for path in sorted((dbt_project / "seeds").glob("*.csv")):
        yield _by_content("policy", path.stem, path)


def audience_names(dbt_project: Path) -> list[str]:
    """The audiences that dbt_project.yml lists."""
    content = yaml.safe_load((dbt_project / "dbt_project.yml").read_text(encoding="utf-8"))
    return sorted((content.get("vars") or {}).get("audiences") or [])


def _by_content(kind: str, name: str, path: Path) -> Definition:
    text = path.read_text(encoding="utf-8")
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Definition(kind, name, version, text)  # type: ignore[arg-type]  # one of the five kinds, see above
