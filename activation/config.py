"""Reads syncs/*.yml and destinations.yml; whatever is wrong in them becomes one clear line."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from activation.adapters.base import Adapter, AdapterConfig, Capabilities, Target
from activation.adapters.discovery import adapter_types
from activation.errors import ConfigError
from activation.modes import MODES, Mode
from activation.source import Source
from activation.sync_file import (
    TRIGGER_KINDS,
    Approval,
    Budget,
    Cost,
    Guards,
    MappedField,
    Occurrence,
    Outage,
    Owner,
    Retry,
    Schedule,
    SyncFile,
)

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Destination:
    """One configured account: its adapter's class, validated settings, what it can do and what it charges."""

    name: str
    description: str
    adapter: type[Adapter]
    config: AdapterConfig
    capabilities: Capabilities
    cost: Cost | None
    outage: Outage


@dataclass(frozen=True)
class Sync:
    """One standing declaration source -> destination; `definition_hash` is the SHA-256 of its file."""

    name: str
    owner: Owner
    description: str
    source: Source
    destination: Destination
    mode: Mode
    key: str
    mapping: Mapping[str, MappedField]
    occurrence: Occurrence | None
    route: str
    trigger: str | Schedule
    after: tuple[str, ...]
    guards: Guards
    budget: Budget
    retry: Retry
    undo_days: float
    approval: Approval
    target: Target
    definition_hash: str
    file: Path

    @property
    def channel(self) -> str:
        """The channel whose addresses it sends, and whose denials and caps it obeys."""
        return self.source.channel

    @property
    def forgets_left(self) -> bool:
        """Whether a key that left the source is dropped from the acknowledged state without an operation."""
        return self.mode.forgets_left or (self.occurrence is not None and self.occurrence.per == "entry")

    @property
    def sends_within(self) -> timedelta | None:
        """How long a message may wait; None where the operations are no messages."""
        return None if self.occurrence is None else timedelta(hours=self.occurrence.within_hours)


@dataclass(frozen=True)
class Definitions:
    """Every sync and destination of the project, in order of name."""

    syncs: Mapping[str, Sync]
    destinations: Mapping[str, Destination]

    def sync(self, name: str) -> Sync:
        """The sync of that name; an unknown one is an error that lists the known ones."""
        if name not in self.syncs:
            raise ConfigError(f"No sync is called {name!r}; expected one of: {_names(self.syncs)}.")
        return self.syncs[name]


def load_definitions(folder: Path) -> Definitions:
    """Read `destinations.yml` and `syncs/*.yml` under `folder`; the first thing wrong is a ConfigError."""
    destinations = _load_destinations(folder / "destinations.yml")
    syncs: dict[str, Sync] = {}
    lists: dict[tuple[str, str], Sync] = {}
    for file in sorted((folder / "syncs").glob("*.yml")):
        sync = _load_sync(file, destinations)
        if sync.name in syncs:
            raise ConfigError(
                f"{file}: name: {sync.name!r} is already the name of {syncs[sync.name].file}; "
                "expected a name of its own. Rename one of them."
            )
        place = (sync.destination.name, sync.target.list_name)
        if place in lists:
            raise ConfigError(
                f"{file}: list: {place[1]!r} at destination {place[0]!r} is already kept by sync "
                f"{lists[place].name!r}; expected one owner per list, or they undo each other. Name "
                "another list."
            )
        syncs[sync.name] = lists[place] = sync
    _check_order(syncs)
    return Definitions(syncs=syncs, destinations=destinations)


def _check_order(syncs: Mapping[str, Sync]) -> None:
    """Whoever comes `after` another must name one that there is, and no circle may be made."""
    for sync in syncs.values():
        unknown = [name for name in sync.after if name not in syncs]
        if unknown:
            raise ConfigError(
                f"{sync.file}: after: no sync is called {unknown[0]!r}; expected some of: {_names(syncs)}."
            )
    for sync in syncs.values():
        reached, frontier = set[str](), set(sync.after)
        while frontier:
            reached |= frontier
            frontier = {name for each in frontier for name in syncs[each].after} - reached
        if sync.name in reached:
            raise ConfigError(
                f"{sync.file}: after: {sync.name!r} would wait for itself, by way of "
                f"{_names(reached - {sync.name})}; expected an order. Take one of them out."
            )


def _load_destinations(file: Path) -> dict[str, Destination]:
    entries = _read_yaml(file)
    known = adapter_types()
    destinations: dict[str, Destination] = {}
    for name, entry in sorted(entries.items()):
        if not isinstance(entry, dict):
            raise ConfigError(f"{file}: {name}: expected keys and values, found {type(entry).__name__}.")
        settings = dict(entry)
        type_name = settings.pop("type", None)
        description = settings.pop("description", None)
        cost = settings.pop("cost", None)
        outage = settings.pop("outage", {})
        if not isinstance(description, str):
            raise ConfigError(
                f"{file}: {name}.description: expected one sentence on what this account is; add it."
            )
        if type_name not in known:
            raise ConfigError(
                f"{file}: {name}.type: {type_name!r} is not a destination type; expected one of: "
                f"{_names(known)}. "
                "Correct it, or add an adapter file under activation/adapters."
            )
        adapter = known[type_name]
        config = _validated(adapter.config_type, settings, file, name)
        destinations[name] = Destination(
            name,
            description,
            adapter,
            config,
            adapter.capabilities(config),
            None if cost is None else _validated(Cost, cost, file, f"{name}.cost"),
            _validated(Outage, outage, file, f"{name}.outage"),
        )
    return destinations


def _load_sync(file: Path, destinations: Mapping[str, Destination]) -> Sync:
    entry = _validated(SyncFile, _read_yaml(file), file, "")
    if entry.name != file.stem:
        raise ConfigError(
            f"{file}: name: {entry.name!r} differs from the file's name; expected {file.stem!r}."
        )
    if entry.destination not in destinations:
        raise ConfigError(
            f"{file}: destination: {entry.destination!r} is not in destinations.yml; "
            f"expected one of: {_names(destinations)}. Correct it, or configure the destination."
        )
    destination = destinations[entry.destination]
    if entry.mode not in destination.capabilities.modes:
        raise ConfigError(
            f"{file}: mode: {entry.mode!r} is nothing that destination {destination.name!r} "
            f"(type {destination.adapter.type_name}) can do; expected one of: "
            f"{_names(destination.capabilities.modes)}."
        )
    mode = MODES[entry.mode]
    if not mode.has_fields and set(entry.mapping) != {entry.key}:
        raise ConfigError(
            f"{file}: mapping: mode {mode.name!r} sends no fields; expected only the key "
            f"{entry.key!r}, found also {_names(set(entry.mapping) - {entry.key})}. Take them out."
        )
    options = _validated(destination.adapter.options_type, entry.options, file, "options")
    fields = (entry.key, *(field for field in entry.mapping if field != entry.key))
    return Sync(
        name=entry.name,
        owner=entry.owner,
        description=entry.description,
        source=entry.source,
        destination=destination,
        mode=mode,
        key=entry.key,
        mapping=entry.mapping,
        occurrence=entry.occurrence,
        route=entry.route,
        trigger=entry.trigger,
        after=entry.after,
        guards=entry.guards,
        budget=entry.budget,
        retry=entry.retry,
        undo_days=0 if entry.occurrence else entry.undo_days,  # what was sent cannot be taken back
        approval=entry.approval,
        target=Target(entry.name, mode.name, entry.list_name, entry.key, fields, options),
        definition_hash=hashlib.sha256(file.read_bytes()).hexdigest(),
        file=file,
    )


def _validated(model: type[Model], values: dict[str, Any], file: Path, where: str) -> Model:
    """The model, or one line that names file, key, what was expected and what was found."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(
            [where] * bool(where) + [str(part) for part in problem["loc"] if part not in TRIGGER_KINDS]
        )
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            names = (field.alias or name for name, field in model.model_fields.items())
            message = f"unknown key; expected one of: {_names(names)}"
        elif problem["type"] == "missing":
            message = "missing; add it"
        elif not isinstance(problem["input"], dict | list | BaseModel):
            message = f"{message.replace('valid tuple', 'list')}; found {problem['input']!r}"
        raise ConfigError(f"{file}: {key + ': ' if key else ''}{message}.") from error


class _StrictLoader(yaml.CSafeLoader):
    """Plain YAML, but a key that stands twice is an error: else the guards that stand first would be gone."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: list[object] = []
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
        seen.append(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - stricter
    except FileNotFoundError as error:
        raise ConfigError(
            f"{file}: the file does not exist; expected it beside the syncs. Create it."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"{file}: not readable as YAML: {detail}. Mend the file.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected keys and values at the top, found {type(content).__name__}.")
    return content


def _names(names: Any) -> str:
    return ", ".join(sorted(names)) or "(none)"
