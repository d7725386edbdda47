"""Contracts and sources: read from YAML, checked as a whole, and resolved for one call of one source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import jsonschema_rs
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ingestion.errors import ContractError
from ingestion.wires import NAMED_CALLS

CONTRACTS_FOLDER = Path(__file__).parent / "contracts"
SOURCES_FILE = Path(__file__).parent / "sources" / "event_sources.yml"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")]
PropertyPath = Annotated[str, StringConstraints(pattern=r"^properties\.[A-Za-z_][A-Za-z0-9_]*$")]
Filled = Annotated[str, StringConstraints(min_length=1)]
IdentifierType = Literal["user_id", "anonymous_id", "email", "phone", "sfmc_subscriber_key"]
Model = TypeVar("Model", bound=BaseModel)


class _Declared(BaseModel):
    """What people write in YAML: no unknown keys, no change after reading, no values in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Owner(_Declared):
    """Who answers for a definition."""

    team: Filled
    contact: Filled


class Freshness(_Declared):
    """How old the newest event may be before somebody should look."""

    expect_within_hours: Annotated[int, Field(gt=0)]


class Change(_Declared):
    """One entry of a changelog."""

    version: Version
    date: date
    change: Filled


class IdentifierField(_Declared):
    """A property that carries an identifier, of a fixed type or of the type another property names."""

    path: PropertyPath
    type: IdentifierType | None = None
    type_path: PropertyPath | None = None
    role: Literal["authoritative", "mergeable"]


class Contract(_Declared):
    """The versioned schema that the events of one name must satisfy."""

    name: Name
    version: Version
    status: Literal["draft", "active", "deprecated"]
    description: Filled
    owner: Owner
    freshness: Freshness
    pii: Mapping[str, Literal["direct", "indirect", "sensitive"]]
    identifiers: tuple[IdentifierField, ...]
    changelog: Annotated[tuple[Change, ...], Field(min_length=1)]
    properties: dict[str, Any]

    @property
    def major(self) -> int:
        """The part of the version that changes when readers may break."""
        return int(self.version.split(".", 1)[0])

    @cached_property
    def validator(self) -> jsonschema_rs.Draft202012Validator:
        """The compiled schema of `properties`."""
        return jsonschema_rs.Draft202012Validator(self.properties, validate_formats=True, offline=True)


class MappedCall(_Declared):
    """A call of a source, by SDK call type and event name, and the contract it is held to."""

    call: Literal["track", "identify", "page", "screen", "group", "alias", "webhook"]
    event: Filled | None = None
    contract: Name
    major: Annotated[int, Field(ge=0)]


class Source(_Declared):
    """One sender of events and what its calls mean."""

    name: Name
    description: Filled
    owner: Owner
    events: tuple[MappedCall, ...]


class _Sources(_Declared):
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Registry:
    """Every contract and source, where they were read, and the one contract that a call resolves to."""

    contracts: tuple[Contract, ...]
    sources: tuple[Source, ...]
    contracts_folder: Path
    sources_file: Path

    @cached_property
    def calls(self) -> dict[tuple[str, str, str | None], Contract]:
        """(source, call type, event name) to the newest contract of the pinned major version."""
        return {
            (source.name, mapped.call, mapped.event if mapped.call == "track" else None): self._newest(
                mapped.contract, mapped.major
            )
            for source in self.sources
            for mapped in source.events
        }

    def resolve(self, source: str, call: str, event: str | None) -> Contract | None:
        """The contract for one call, or nothing when the source does not map it."""
        return self.calls.get((source, call, event if call in NAMED_CALLS else None))

    def named(self, source: str, contract: str | None) -> Contract | None:
        """The contract of that name, when the source maps some call to it."""
        return self._mapped.get((source, contract))

    @cached_property
    def _mapped(self) -> dict[tuple[str, str | None], Contract]:
        return {(source, contract.name): contract for (source, _, _), contract in self.calls.items()}

    def source_names(self) -> frozenset[str]:
        """The sources that may appear in the event log."""
        return frozenset(source.name for source in self.sources)

    def _newest(self, name: str, major: int) -> Contract:
        return max(
            (contract for contract in self.contracts if (contract.name, contract.major) == (name, major)),
            key=lambda contract: tuple(int(part) for part in contract.version.split(".")),
        )


def load_registry(contracts_folder: Path = CONTRACTS_FOLDER, sources_file: Path = SOURCES_FILE) -> Registry:
    """Read every contract and the sources; raises ContractError for the first file that is wrong."""
    files = sorted(contracts_folder.glob("*.yml"))
    if not files:
        raise ContractError(
            f"No contract found in {contracts_folder}; expected one .yml file per event type there."
        )
    contracts = tuple(_read_contract(path) for path in files)
    _refuse_repeats(contracts_folder, ((contract.name, contract.version) for contract in contracts))
    sources = _read(sources_file, _Sources).sources
    _refuse_repeats(sources_file, (source.name for source in sources))
    for source in sources:
        _check_source(sources_file, source, contracts)
    return Registry(contracts, sources, contracts_folder, sources_file)


def _read_contract(path: Path) -> Contract:
    contract = _read(path, Contract)
    if path.stem != contract.name:
        raise ContractError(
            f"{path.name}: key 'name' is {contract.name!r}, expected {path.stem!r} like the file; "
            "rename one of them."
        )
    if contract.changelog[-1].version != contract.version:
        raise ContractError(
            f"{path.name}: key 'changelog' ends with version {contract.changelog[-1].version}, expected "
            f"{contract.version}; add an entry that says what changed."
        )
    try:
        jsonschema_rs.meta.validate(contract.properties)
        _ = contract.validator
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ContractError(
            f"{path.name}: key 'properties' is not a JSON Schema of draft 2020-12 ({_first_line(error)}); "
            "correct the schema."
        ) from error
    fields = contract.properties.get("properties", {})
    for identifier in contract.identifiers:
        if (identifier.type is None) == (identifier.type_path is None):
            raise ContractError(
                f"{path.name}: key 'identifiers' has {identifier.path} with both or neither of 'type' and "
                "'type_path'; give exactly one."
            )
    named = [*contract.pii, *(identifier.path.split(".", 1)[1] for identifier in contract.identifiers)]
    for name in named:
        if name not in fields:
            raise ContractError(
                f"{path.name}: field {name!r} is named under 'pii' or 'identifiers' but 'properties' does "
                "not describe it; describe it there or remove it."
            )
    return contract


def _check_source(path: Path, source: Source, contracts: tuple[Contract, ...]) -> None:
    known = {(contract.name, contract.major) for contract in contracts}
    _refuse_repeats(path, ((source.name, mapped.call, mapped.event) for mapped in source.events))
    for mapped in source.events:
        if (mapped.call in NAMED_CALLS) != (mapped.event is not None):
            raise ContractError(
                f"{path.name}: source {source.name!r} maps call {mapped.call!r} with event {mapped.event!r}; "
                "a track or webhook call needs an event name, every other call has none."
            )
        if (mapped.contract, mapped.major) not in known:
            raise ContractError(
                f"{path.name}: source {source.name!r} maps {mapped.event or mapped.call!r} to contract "
                f"{mapped.contract!r} major {mapped.major}, which does not exist; known are "
                f"{', '.join(sorted(f'{name} {major}' for name, major in known))}."
            )


def _read(path: Path, model: type[Model]) -> Model:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(
            f"{path.name} cannot be read as YAML ({_first_line(error)}); correct the file."
        ) from error
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
        raise ContractError(
            f"{path.name}: key '{key}' is wrong: {first['msg']}. Correct it"
            + (f" and {error.error_count() - 1} more." if error.error_count() > 1 else ".")
        ) from error


def _refuse_repeats(path: Path, names: Iterable[object]) -> None:
    seen: set[object] = set()
    for name in names:
        if name in seen:
            raise ContractError(f"{path.name}: {name!r} is defined twice; keep one of them.")
        seen.add(name)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
