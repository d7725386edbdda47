"""Finds who reads a field of an event: dbt models by lineage, then the audiences and syncs made of them."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from activation.config import load_definitions
from ingestion.field_readers import HOW, FieldReader, How
from orchestration.dbt import as_of_variable, is_current
from orchestration.declared import AUDIENCE_PREFIX, audience_names
from orchestration.errors import DbtFailedError
from orchestration.field_lineage import WHOLE, Column, Field, ModelLineage, model_lineage
from orchestration.settings import Settings, utc_now


class FieldReaders:
    """Answers for one state of the project; the models are compiled once, when first asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def find(self, event: str, paths: frozenset[str]) -> tuple[FieldReader, ...]:
        """Every model, audience and sync that any of the fields reaches, the nearest first.

        Raises DbtFailedError when the dbt project does not compile.
        """
        audiences = {
            f"{AUDIENCE_PREFIX}{name}": name for name in audience_names(self._settings.dbt_project_dir)
        }
        models, reached = [], {}
        for model in self._models.values():
            how = _how(model, event, paths)
            if how and model.name in audiences:
                reached[audiences[model.name]] = how
            elif how:
                models.append(FieldReader("model", model.name, how))
        found = [
            *models,
            *(FieldReader("audience", name, how) for name, how in reached.items()),
            *self._syncs(event, paths, reached),
        ]
        return tuple(sorted(found, key=lambda reader: HOW.index(reader.how)))

    def _syncs(self, event: str, paths: frozenset[str], audiences: dict[str, How]) -> Iterator[FieldReader]:
        for sync in load_definitions(self._settings.project_root / "activation").syncs.values():
            sent = (
                each
                for mapped in sync.mapping.values()
                if mapped.column is not None
                for name in ("profiles", *sync.source.tables)
                for each in self._models[name].relation.columns.get(mapped.column, Column()).fields
            )
            how = "reads" if _meets(sent, event, paths) else audiences.get(sync.source.audience or "")
            if how:
                yield FieldReader("sync", sync.name, how)

    @cached_property
    def _models(self) -> dict[str, ModelLineage]:
        return model_lineage(compiled_manifest(self._settings))


def _how(model: ModelLineage, event: str, paths: frozenset[str]) -> How | None:
    if _meets((each for each in model.reads if each.path != WHOLE), event, paths):
        return "reads"
    if _meets(model.reads, event, paths):
        return "carries"
    return "follows" if _meets(model.relation.rows, event, paths) else None


def _meets(fields: Iterable[Field], event: str, paths: frozenset[str]) -> bool:
    return any(each.meets(event, paths) for each in fields)


def compiled_manifest(settings: Settings) -> dict[str, Any]:
    """The manifest with the SQL of each model; compiled without the warehouse, so no run is waited for."""
    folder = settings.home / "dbt" / "lineage"
    manifest = folder / "manifest.json"
    if not is_current(manifest, settings.dbt_project_dir):
        folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **settings.full_environment(),
            "CDP_WAREHOUSE_PATH": ":memory:",
            "DBT_TARGET_PATH": str(folder),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        finished = subprocess.run(
            [
                str(settings.executables_dir / "dbt"),
                *("--quiet", "--no-use-colors", "compile", "--no-introspect"),
                *("--vars", as_of_variable(utc_now())),
            ],
            cwd=settings.dbt_project_dir,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            manifest.unlink(missing_ok=True)
            said = (finished.stdout + finished.stderr).strip() or f"exit code {finished.returncode}"
            raise DbtFailedError(
                f"dbt could not compile {settings.dbt_project_dir}, so who reads a field cannot be told: "
                f"{said} Mend the file it names; dbt's log is {folder / 'logs' / 'dbt.log'}."
            )
    content: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
    return content
