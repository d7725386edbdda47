"""The formats of `cdp contracts export`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from ingestion.contract import Contract
from ingestion.exports.avro import avro_schema
from ingestion.exports.json_schema import json_schema
from ingestion.exports.odcs import odcs_text

FormatName = Literal["odcs", "jsonschema", "avro"]


@dataclass(frozen=True)
class Format:
    """How a contract version is written, and how its file's name ends."""

    suffix: str
    text: Callable[[Contract], str]


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"


FORMATS: Final[dict[FormatName, Format]] = {
    "odcs": Format(".odcs.yaml", odcs_text),
    "jsonschema": Format(".schema.json", lambda contract: _json(json_schema(contract))),
    "avro": Format(".avsc", lambda contract: _json(avro_schema(contract))),
}
