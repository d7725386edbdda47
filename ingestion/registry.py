"""Contracts and sources: read from YAML, checked as a whole, and resolved for one call of one source."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ingestion.contract import Contract, ContractFile, Filled, Name, Owner, version_key
from ingestion.contract_files import read_contract_file
from ingestion.errors import ContractError
from ingestion.wires import NAMED_CALLS
from ingestion.yaml_files import Declared, parse, read_text, refuse_repeats

CONTRACTS_FOLDER = Path(__file__).parent / "contracts"
# The source of what operators decide by hand.
OPERATOR_SOURCE = "operator"
SOURCES_FILE = Path(__file__).parent / "sources" / "event_sources.yml"


class MappedCall(Declared):
    """A call of a source, by SDK call type and event name, and the contract it is held to."""

    call: Literal["track", "identify", "page", "screen", "group", "alias", "webhook"]
    event: Filled | None = None
    contract: Name
    major: Annotated[int, Field(ge=0)]


class Hold(Declared):
    """When what a source has in one batch is held back whole: more than this share of it is refused.

    Smaller batches are never held: a share of a few lines says nothing.
    """

    refused_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    of_at_least: Annotated[int, Field(ge=1)] = 1000


class Source(Declared):
    """One sender of events and what its calls mean."""

    name: Name
    description: Filled
    owner: Owner
    hold: Hold = Hold()
    events: tuple[MappedCall, ...]


class _Sources(Declared):
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Registry:
    """Every contract and source, where they were read, and the one contract that a call resolves to.

    `contracts` holds every published version; drafts stand only in `files`, and no event is held to them.
    """

    files: tuple[ContractFile, ...]
    sources: tuple[Source, ...]
    contracts_folder: Path
    sources_file: Path

    @cached_property
    def contracts(self) -> tuple[Contract, ...]:
        """Every published version of every contract, by name and version."""
        return tuple(
            contract for file in self.files for contract in file.contracts() if contract.is_published
        )

    @cached_property
    def newest(self) -> dict[tuple[str, int], Contract]:
        """(name, major version) to the newest published contract of it."""
        ordered = sorted(self.contracts, key=lambda contract: version_key(contract.version))
        return {(contract.name, contract.major): contract for contract in ordered}

    @cached_property
    def calls(self) -> dict[tuple[str, str, str | None], Contract]:
        """(source, call type, event name) to the newest contract of the pinned major version."""
        return {
            (source.name, mapped.call, mapped.event if mapped.call in NAMED_CALLS else None): self.newest[
                mapped.contract, mapped.major
            ]
            for source in self.sources
            for mapped in source.events
        }

    def resolve(self, source: str, call: str, event: str | None) -> Contract | None:
        """The contract for one call, or nothing when the source does not map it."""
        return self.calls.get((source, call, event if call in NAMED_CALLS else None))

    def named(self, source: str, contract: str | None) -> Contract | None:
        """The contract of that name, when the source maps some call to it."""
        return self._mapped.get((source, contract))

    def version_of(self, contract: Contract, version: str) -> Contract | None:
        """The published version of the same contract and the same major, or nothing."""
        found = self._by_version.get((contract.name, version))
        return found if found and found.major == contract.major else None

    @cached_property
    def _mapped(self) -> dict[tuple[str, str | None], Contract]:
        return {(source, contract.name): contract for (source, _, _), contract in self.calls.items()}

    @cached_property
    def _by_version(self) -> dict[tuple[str, str], Contract]:
        return {(contract.name, contract.version): contract for contract in self.contracts}

    def source_names(self) -> frozenset[str]:
        """The sources that may appear in the event log."""
        return frozenset(source.name for source in self.sources)


def load_registry(contracts_folder: Path = CONTRACTS_FOLDER, sources_file: Path = SOURCES_FILE) -> Registry:
    """Read every contract and the sources; raises ContractError for the first file that is wrong."""
    paths = sorted(contracts_folder.glob("*.yml"))
    if not paths:
        raise ContractError(
            f"No contract found in {contracts_folder}; expected one .yml file per event type there."
        )
    files = tuple(read_contract_file(path) for path in paths)
    sources = parse(sources_file.name, read_text(sources_file), _Sources).sources
    refuse_repeats(sources_file.name, (source.name for source in sources))
    registry = Registry(files, sources, contracts_folder, sources_file)
    for source in sources:
        _check_source(sources_file.name, source, registry)
    return registry


def _check_source(file_name: str, source: Source, registry: Registry) -> None:
    known = registry.newest
    refuse_repeats(file_name, ((source.name, mapped.call, mapped.event) for mapped in source.events))
    for mapped in source.events:
        if (mapped.call in NAMED_CALLS) != (mapped.event is not None):
            raise ContractError(
                f"{file_name}: source {source.name!r} maps call {mapped.call!r} with event {mapped.event!r}; "
                "a track or webhook call needs an event name, every other call has none."
            )
        if (mapped.contract, mapped.major) not in known:
            raise ContractError(
                f"{file_name}: source {source.name!r} maps {mapped.event or mapped.call!r} to contract "
                f"{mapped.contract!r} major {mapped.major}, which does not exist or is a draft; known are "
                f"{', '.join(sorted(f'{name} {major}' for name, major in known))}."
            )
