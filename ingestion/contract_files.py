"""Contract files: each version checked as a whole, and refused by file and key when wrong."""

from pathlib import Path

import jsonschema_rs

from ingestion.contract import PII, PII_CLASSES, ContractFile, VersionEntry, fields, version_key
from ingestion.errors import ContractError
from ingestion.yaml_files import first_line, parse, read_text, refuse_repeats


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
