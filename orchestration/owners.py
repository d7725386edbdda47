"""Who answers for each definition: a contract, a dbt model, an audience, a sync."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activation.config import load_definitions
from ingestion.registry import load_registry
from orchestration.declared import AUDIENCE_PREFIX, audience_names


@dataclass(frozen=True)
class OwnedDefinition:
    """A definition and its owner, empty when nobody is named."""

    kind: str
    name: str
    owner: str


def owned_definitions(manifest: Mapping[str, Any], project_root: Path) -> list[OwnedDefinition]:
    """Every definition, by kind and name.

    The owner of a model is that of its dbt group, the owner of an audience stands in its meta. A contract or
    sync without an owner is refused where its file is read.
    """
    return sorted(
        [*_contracts(), *_models(manifest, project_root), *_syncs(project_root)],
        key=lambda each: (each.kind, each.name),
    )


def _contracts() -> Iterator[OwnedDefinition]:
    for file in load_registry().files:
        yield OwnedDefinition("contract", file.name, f"{file.owner.team} <{file.owner.contact}>")


def _models(manifest: Mapping[str, Any], project_root: Path) -> Iterator[OwnedDefinition]:
    audiences = {f"{AUDIENCE_PREFIX}{name}" for name in audience_names(project_root / "dbt_project")}
    groups = {group["name"]: group["owner"] for group in manifest["groups"].values()}
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model":
            continue
        if node["name"] in audiences:
            name = node["name"].removeprefix(AUDIENCE_PREFIX)
            yield OwnedDefinition("audience", name, (node["config"].get("meta") or {}).get("owner") or "")
            continue
        owner = groups.get(node.get("group") or "", {})
        said = [owner.get("name") or "", f"<{owner['email']}>" if owner.get("email") else ""]
        yield OwnedDefinition("model", node["name"], " ".join(part for part in said if part))


def _syncs(project_root: Path) -> Iterator[OwnedDefinition]:
    for sync in load_definitions(project_root / "activation").syncs.values():
        yield OwnedDefinition("sync", sync.name, f"{sync.owner.team} <{sync.owner.contact}>")
