"""What a contract is: one event name, and every version of its schema that was ever published."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

import jsonschema_rs
import yaml
from pydantic import Field, StringConstraints

from ingestion.yaml_files import Declared

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$")]
PropertyPath = Annotated[str, StringConstraints(pattern=r"^properties\.[A-Za-z_][A-Za-z0-9_]*$")]
Filled = Annotated[str, StringConstraints(min_length=1)]
IdentifierType = Literal["user_id", "anonymous_id", "email", "phone", "sfmc_subscriber_key"]
Purpose = Literal["service", "analytics", "personalisation", "marketing", "advertising"]
Status = Literal["draft", "active", "deprecated"]

PII = "x-pii"
UNIT = "x-unit"
MEANING = "x-meaning"
# From what anybody may know to what must be kept most carefully.
PII_CLASSES = ("none", "indirect", "direct", "sensitive")


class Owner(Declared):
    """Who answers for a definition."""

    team: Filled
    contact: Filled


class Freshness(Declared):
    """How old the newest event may be before somebody should look."""

    expect_within_hours: Annotated[int, Field(gt=0)]


class Approval(Declared):
    """Who agreed to a change, by team or contact, and when."""

    by: Filled
    date: date


class Change(Declared):
    """One entry of a changelog; `consumers` are those who were asked whether they can read the new values."""

    version: Version
    date: date
    change: Filled
    approvals: tuple[Approval, ...] = ()
    consumers: tuple[Filled, ...] = ()


class IdentifierField(Declared):
    """A property that carries an identifier, of a fixed type or of the type another property names."""

    path: PropertyPath
    type: IdentifierType | None = None
    type_path: PropertyPath | None = None
    role: Literal["authoritative", "mergeable"]


class VersionEntry(Declared):
    """One version as its file has it."""

    version: Version
    status: Status
    deprecated_on: date | None = None
    purposes: tuple[Purpose, ...]
    identifiers: tuple[IdentifierField, ...]
    properties: dict[str, Any]

    @property
    def is_published(self) -> bool:
        """Whether senders may rely on it: from then on it never changes."""
        return self.status != "draft"

    @property
    def fixed(self) -> dict[str, Any]:
        """What may never change once the version is published."""
        return self.model_dump(mode="json", include={"version", "purposes", "identifiers", "properties"})


class ContractFile(Declared):
    """One file of `contracts/`: what is said of the event, its versions in order, and how they came to be."""

    name: Name
    description: Filled
    owner: Owner
    freshness: Freshness
    versions: Annotated[tuple[VersionEntry, ...], Field(min_length=1)]
    changelog: Annotated[tuple[Change, ...], Field(min_length=1)]

    def contracts(self) -> "Iterator[Contract]":
        """Every version as the contract that events are held to, drafts too."""
        for entry in self.versions:
            yield Contract(
                name=self.name,
                version=entry.version,
                status=entry.status,
                deprecated_on=entry.deprecated_on,
                description=self.description,
                owner=self.owner,
                freshness=self.freshness,
                purposes=entry.purposes,
                identifiers=entry.identifiers,
                properties=entry.properties,
            )

    def changes_of(self, version: str) -> Change | None:
        """The changelog's entry of a version."""
        return next((change for change in self.changelog if change.version == version), None)


@dataclass(frozen=True)
class Contract:
    """The versioned schema that the events of one name must satisfy."""

    name: str
    version: str
    status: Status
    deprecated_on: date | None
    description: str
    owner: Owner
    freshness: Freshness
    purposes: tuple[str, ...]
    identifiers: tuple[IdentifierField, ...]
    properties: dict[str, Any]

    @property
    def major(self) -> int:
        """The part of the version that changes when readers may break."""
        return version_key(self.version)[0]

    @property
    def is_published(self) -> bool:
        """Whether senders may rely on it."""
        return self.status != "draft"

    @property
    def text(self) -> str:
        """What can be said of this version and never changes, as YAML; equal versions have equal texts."""
        content = {
            "name": self.name,
            "version": self.version,
            "purposes": list(self.purposes),
            "identifiers": [each.model_dump(exclude_none=True) for each in self.identifiers],
            "properties": self.properties,
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    @cached_property
    def validator(self) -> jsonschema_rs.Draft202012Validator:
        """The compiled schema of `properties`."""
        return jsonschema_rs.Draft202012Validator(self.properties, validate_formats=True, offline=True)

    @cached_property
    def pii(self) -> Mapping[str, str]:
        """Each field's PII class by its dotted path, such as `items.sku`."""
        return {path: schema.get(PII, "") for path, schema in fields(self.properties)}


def version_key(version: str) -> tuple[int, int, int]:
    """The three numbers of a semantic version, for comparing."""
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def fields(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that a schema describes, with its dotted path; those of objects in an array too."""
    described = schema.get("properties")
    for name, inner in described.items() if isinstance(described, dict) else ():
        if not isinstance(inner, dict):
            continue
        path = f"{prefix}{name}"
        yield path, inner
        yield from fields(inner, f"{path}.")
        if isinstance(inner.get("items"), dict):
            yield from fields(inner["items"], f"{path}.")
