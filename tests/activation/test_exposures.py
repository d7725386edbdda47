"""What is generated from the syncs stays in step with them."""

from pathlib import Path

import activation
from activation.config import load_definitions
from activation.exposures import FILE, exposures_text
from activation.modes import MODES
from activation.sync_file import SyncFile

REPOSITORY = Path(activation.__file__).parents[1]


def test_the_exposures_of_the_dbt_project_are_those_of_the_syncs() -> None:
    written = (REPOSITORY / "dbt_project" / FILE).read_text(encoding="utf-8")

    assert written == exposures_text(load_definitions(REPOSITORY / "activation")), (
        "run `cdp sync exposures --write`"
    )


def test_the_schema_for_editors_names_every_key_and_says_what_it_means() -> None:
    schema = SyncFile.model_json_schema()

    assert schema["additionalProperties"] is False
    assert {"source", "mode", "guards", "budget", "retry", "approval", "list"} <= schema["properties"].keys()
    assert set(schema["properties"]["mode"]["enum"]) == MODES.keys()
    assert set(schema["required"]) >= {"name", "source", "destination", "mode", "key", "mapping"}
