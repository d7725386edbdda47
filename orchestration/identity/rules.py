"""identity_rules.yml, read without guessing: what is wrong is said by key, before anything is built."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestion.yaml_files import StrictLoader
from orchestration.errors import FatalOrchestrationError

RULES_FILE = Path("models/intermediate/identity/identity_rules.yml")
MODEL = "int_identity_rules"
Tier = Literal["exact", "strict", "loose"]
TypeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Count = Annotated[int, Field(ge=1)]
# What RE2 and Java do not read alike, or not at all: look-around, back references, named and flag groups.
UNPORTABLE = re.compile(r"\(\?|\\[1-9]|\\[GZz]|[*+?}]\+")


class Declared(BaseModel):
    """What people write: no unknown keys, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PerPerson(Declared):
    """At most so many identifiers of a type in one person, at any time or within a window."""

    most: Count
    within_days: Count | None = None


class PerIdentifier(Declared):
    """Seen with more than so many of another type, an identifier is shared."""

    type: TypeName
    most: Count
    within_days: Count | None = None


class IdentifierType(Declared):
    """How identifiers of one type are known and joined."""

    kind: Literal["authoritative", "mergeable"]
    priority: Count
    envelope: Literal["user_id", "anonymous_id", "account_id", "session_id"] | None = None
    property: TypeName | None = None
    per_person: PerPerson | None = None
    per_identifier: list[PerIdentifier] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_place(self) -> "IdentifierType":
        if self.envelope and self.property:
            raise ValueError("has both `envelope` and `property`; an identifier stands in one of them")
        return self


class TierRule(Declared):
    """Evidence that a tier is given to: of a source, of two types, or of both."""

    source: str | None = None
    types: Annotated[list[TypeName], Field(min_length=2, max_length=2)] | None = None
    tier: Tier


class Tiers(Declared):
    """How sure evidence is; the first rule that fits."""

    default: Tier | None = None
    rules: list[TierRule] = Field(default_factory=list)


class Guards(Declared):
    """What is held for review; the defaults stand in macros/identity/identity_rules.sql."""

    most_identifiers: Annotated[int, Field(ge=2)] | None = None
    least_loose_links: Count | None = None
    most_rounds: Annotated[int, Field(ge=1, le=1000)] | None = None


class BlockedValue(Declared):
    """Values that say nothing about who somebody is."""

    type: str
    value: str | list[str] | None = None
    regex: str | None = None
    domain: str | list[str] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "BlockedValue":
        given = [name for name in ("value", "regex", "domain") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of value, regex and domain, found {given or 'none'}")
        if self.regex is not None:
            if UNPORTABLE.search(self.regex):
                raise ValueError(
                    f"regex {self.regex!r} uses look-around, flags, a back reference or a possessive "
                    "quantifier; the engines do not read those alike"
                )
            try:
                re.compile(self.regex)
            except re.error as error:
                raise ValueError(f"regex {self.regex!r} is none: {error}") from error
        return self


class IdentityRules(Declared):
    """The whole of the rules; types that are named anywhere must be declared."""

    identifier_types: Annotated[dict[TypeName, IdentifierType], Field(min_length=1)]
    tiers: Tiers = Tiers()
    least_tier: dict[str, Tier] = Field(default_factory=dict)
    guards: Guards = Guards()
    blocked_values: list[BlockedValue] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_declared(self) -> "IdentityRules":
        declared = self.identifier_types.keys()
        used = [
            (f"identifier_types.{name}.per_identifier", limit.type)
            for name, kind in self.identifier_types.items()
            for limit in kind.per_identifier
        ]
        used += [("tiers.rules", name) for rule in self.tiers.rules for name in rule.types or ()]
        used += [("blocked_values", each.type) for each in self.blocked_values if each.type != "any"]
        for where, name in used:
            if name not in declared:
                raise ValueError(
                    f"{where} names the type {name!r}, which is not one of {', '.join(declared)}"
                )
        priorities: dict[int, str] = {}
        for name, kind in self.identifier_types.items():
            if kind.priority in priorities:
                raise ValueError(
                    f"{priorities[kind.priority]} and {name} both have priority {kind.priority}; "
                    "each type needs its own, or nobody could say which identifier is the anchor"
                )
            priorities[kind.priority] = name
            if kind.kind == "authoritative" and kind.per_person and kind.per_person.most > 1:
                raise ValueError(
                    f"identifier_types.{name} is authoritative, one value is one person, but per_person "
                    f"allows {kind.per_person.most}; make it mergeable or allow 1"
                )
        return self


def read_rules(path: Path) -> dict[str, Any]:
    """The rules of a file as they are written, once they are sound; raises FatalOrchestrationError by key."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)  # noqa: S506 - stricter
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FatalOrchestrationError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}. Correct the file."
        ) from error
    rules = _rules_of(found)
    if rules is None:
        raise FatalOrchestrationError(
            f"{path} has no identity rules: expected a model named {MODEL} with config.meta.identity_rules, "
            f"as in dbt_project/{RULES_FILE}."
        )
    try:
        IdentityRules.model_validate(rules)
    except ValidationError as error:
        problems = "; ".join(
            ".".join(str(part) for part in problem["loc"])
            + ": "
            + problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise FatalOrchestrationError(
            f"{path} is wrong: {problems.removeprefix(': ')}. Correct it."
        ) from error
    return dict(rules)


def _rules_of(found: Any) -> Any:
    models = found.get("models") if isinstance(found, dict) else None
    for model in models if isinstance(models, list) else []:
        if isinstance(model, dict) and model.get("name") == MODEL:
            config = model.get("config") or {}
            meta = (config.get("meta") or {}) if isinstance(config, dict) else {}
            return meta.get("identity_rules") if isinstance(meta, dict) else None
    return None
