"""Contract and source files: read from YAML without guessing, and refused by file and key when wrong."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import jsonschema_rs
import yaml
from pydantic import BaseModel, ValidationError

from ingestion.contract import PII, PII_CLASSES, ContractFile, VersionEntry, fields, version_key
from ingestion.errors import ContractError

MAX_BYTES = 1024 * 1024
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.CSafeLoader):
    """Plain YAML, but a key that stands twice is an error, not a silent choice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(None, None, "a key is not a text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_contract_file(path: Path) -> ContractFile:
    """One contract file with all its versions; raises ContractError when anything of it is wrong."""
    return parse_contract_file(path.name, read_text(path))


def parse_contract_file(file_name: str, text: str) -> ContractFile:
    """`read_contract_file` for a text, such as the one that stands in an earlier commit."""
    contract = parse(file_name, text, ContractFile)
    stem = file_name.removesuffix(".yml")
    if stem != contract.name:
        raise ContractError(
            f"{file_name}: key 'name' is {contract.name!r}, expected {stem!r} like the file; "
            "rename one of them."
        )
    _check_versions(file_name, contract)
    for entry in contract.versions:
        _check_entry(file_name, entry)
    return contract


def read_text(path: Path) -> str:
    """The text of a definition; raises ContractError when it is none, or too long to be one."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ContractError(
                f"{path.name} has {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}; "
                "a definition is written by people, so something else is in this file."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} cannot be read ({first_line(error)}); correct the file.") from error


def parse(file_name: str, text: str, model: type[Model]) -> Model:
    """A YAML text as the model that it must be; raises ContractError that names file and key."""
    try:
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader that is stricter)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ContractError(
            f"{file_name} cannot be read as YAML ({first_line(error)}); correct the file."
        ) from error
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
        raise ContractError(
            f"{file_name}: key '{key}' is wrong: {first['msg']}. Correct it"
            + (f" and {error.error_count() - 1} more." if error.error_count() > 1 else ".")
        ) from error


def refuse_repeats(file_name: str, names: Iterable[object]) -> None:
    """Raise ContractError for the first name that comes twice."""
    seen: set[object] = set()
    for name in names:
        if name in seen:
            raise ContractError(f"{file_name}: {name!r} is defined twice; keep one of them.")
        seen.add(name)


def first_line(error: BaseException) -> str:
    """What went wrong, as one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark
        return error.problem + (f", line {mark.line + 1}" if mark else "")
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_versions(file_name: str, contract: ContractFile) -> None:
    versions = [entry.version for entry in contract.versions]
    refuse_repeats(file_name, versions)
    if versions != sorted(versions, key=version_key):
        raise ContractError(
            f"{file_name}: key 'versions' has the order {', '.join(versions)}; put the oldest first."
        )
    logged = [change.version for change in contract.changelog]
    if logged != versions:
        raise ContractError(
            f"{file_name}: key 'changelog' has entries for {', '.join(logged)}, expected one for each of "
            f"{', '.join(versions)} in this order; say there what each version changed."
        )
    for entry in contract.versions:
        if (entry.status == "deprecated") != (entry.deprecated_on is not None):
            raise ContractError(
                f"{file_name}: version {entry.version} has status {entry.status!r} and deprecated_on "
                f"{entry.deprecated_on}; a deprecated version, and no other, says since when."
            )


def _check_entry(file_name: str, entry: VersionEntry) -> None:
    place = f"{file_name}: version {entry.version}"
    try:
        jsonschema_rs.meta.validate(entry.properties)
        jsonschema_rs.Draft202012Validator(entry.properties, validate_formats=True, offline=True)
    except (ValueError, jsonschema_rs.ReferencingError, RecursionError) as error:
        raise ContractError(
            f"{place}: key 'properties' is not a JSON Schema of draft 2020-12 ({first_line(error)}); "
            "correct the schema."
        ) from error
    if entry.properties.get("type") != "object":
        raise ContractError(
            f"{place}: key 'properties' has type {entry.properties.get('type')!r}, expected 'object'; "
            "the properties of an event are always an object."
        )
    if _refers(entry.properties):
        raise ContractError(
            f"{place}: key 'properties' refers to another place ($ref); describe every field where it "
            "stands, so that each has its PII class and its description."
        )
    described = dict(fields(entry.properties))
    for path, schema in described.items():
        if schema.get(PII) not in PII_CLASSES:
            raise ContractError(
                f"{place}: field {path!r} has {PII} {schema.get(PII)!r}, expected one of "
                f"{', '.join(PII_CLASSES)}; say how personal its values are."
            )
        if not isinstance(schema.get("description"), str) or not schema["description"].strip():
            raise ContractError(f"{place}: field {path!r} has no description; say what its values mean.")
    for identifier in entry.identifiers:
        if (identifier.type is None) == (identifier.type_path is None):
            raise ContractError(
                f"{place}: key 'identifiers' has {identifier.path} with both or neither of 'type' and "
                "'type_path'; give exactly one."
            )
        for named in (identifier.path, identifier.type_path):
            name = (named or "").removeprefix("properties.")
            if named and name not in described:
                raise ContractError(
                    f"{place}: field {name!r} is named under 'identifiers' but 'properties' does "
                    "not describe it; describe it there or remove it."
                )
        carried = described[identifier.path.removeprefix("properties.")]
        if carried[PII] == "none":
            raise ContractError(
                f"{place}: field {identifier.path.removeprefix('properties.')!r} carries an identifier and "
                f"has {PII} none; an identifier tells who somebody is: say indirect, direct or sensitive."
            )


def _refers(schema: object) -> bool:
    if isinstance(schema, dict):
        return any(key in ("$ref", "$dynamicRef") or _refers(inner) for key, inner in schema.items())
    return isinstance(schema, list) and any(_refers(inner) for inner in schema)
