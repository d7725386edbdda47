"""How dbt's nodes appear as Dagster assets: key, group, owner and kind."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from orchestration.dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

MODEL_OWNER = "team:analytics"


class HouseTranslator(DagsterDbtTranslator):
    """Keys read [schema, name], as in the warehouse; groups follow the folders under models/."""

    def __init__(self) -> None:
        super().__init__(
            DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_source_tests_as_checks=True)
        )

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """[schema, name]; sources carry the schema that ingestion or the ledger writes."""
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The folder: `intermediate_identity` for models/intermediate/identity."""
        if dbt_resource_props["resource_type"] in {"seed", "source"}:
            return f"{dbt_resource_props['schema']}"
        return "_".join(dbt_resource_props["fqn"][1:-1]) or "models"

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:
        """The owner that the model's meta names, else its group, else the team that keeps the dbt project."""
        config = dbt_resource_props.get("config", {})
        named = (config.get("meta") or {}).get("owner") or config.get("group")
        if not named:
            return [MODEL_OWNER]
        return [named if "@" in named else f"team:{re.sub(r'[^A-Za-z0-9_.-]', '-', named)}"]

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The words of the YAML; an audience's own sentence where there is one."""
        meta = dbt_resource_props.get("config", {}).get("meta") or {}
        description = dbt_resource_props.get("description") or meta.get("description")
        return str(description or f"dbt {dbt_resource_props['resource_type']} {dbt_resource_props['name']}")
