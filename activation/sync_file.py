"""What a file of activation/syncs may say; `cdp sync schema` prints it as JSON Schema for editors."""

import zoneinfo
from typing import Annotated, Any, Literal, Self

from croniter import croniter
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from activation.modes import MODES
from activation.source import NAME, Source

ModeName = Literal[
    "insert", "update", "upsert", "mirror", "mirror_exclusive", "list_add", "list_remove", "delete", "append"
]
Transform = Literal["trim", "lower", "upper", "sha256", "md5", "date", "epoch_seconds"]
FieldType = Literal["text", "integer", "number", "boolean", "date", "timestamp"]
CRON_FIELDS = 5
TRIGGER_KINDS = ("a word", "a schedule")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Owner(_Frozen):
    """Who answers for a definition."""

    team: str
    contact: str


class MappedField(_Frozen):
    """Where a destination's field comes from: a column of the source's mart or of `marts.profiles`, a
    property of the event, or a constant.

    A null is sent as null (`send`, clears the field), left out (`omit`, the destination keeps what it has) or
    replaced (`default`). `decimals` rounds a floating number, because sums taken in another order differ in
    their last digit.
    """

    column: str | None = Field(
        default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="A column of the mart."
    )
    property: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="A property of the event, instead of a column; with source.events. What it is as `type` "
        "says, by default text; one that is not of its type counts as null.",
    )
    value: str | int | float | bool | None = Field(
        default=None, description="The same for everybody, instead of a column."
    )
    when_null: Literal["send", "omit", "default"] = Field(
        default="send",
        description="What becomes of a null: sent, left out, or `default` in its place. To be said of every "
        "column but the key's, whose null makes a row invalid.",
    )
    default: str | int | float | bool | None = Field(
        default=None, description="With `when_null: default`: what is sent instead of null."
    )
    type: FieldType | None = Field(
        default=None, description="What the column must be; a column of another type is an error."
    )
    transform: tuple[Transform, ...] = Field(
        default=(), description="Applied in order to the column's value; a null stays null."
    )
    decimals: int = Field(default=6, ge=0, le=9, description="How many decimals a number keeps.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(each is not None for each in (self.column, self.property, self.value)) != 1:
            raise ValueError("expected one of column, property and value")
        if (self.when_null == "default") != (self.default is not None):
            raise ValueError("default: expected with when_null: default, and only there")
        return self


class Guards(_Frozen):
    """When a plan stops and asks a person.

    A pair `max_…_share` and `max_…` stops when both are exceeded: the share is of what the destination has
    acknowledged. Removals and invalid rows are guarded unless a file says otherwise.
    """

    max_removed_share: float = Field(default=0.05, ge=0, le=1)
    max_removed: int = Field(default=1000, ge=0, description="Opt-outs are not counted.")
    max_created_share: float | None = Field(default=None, ge=0, description="A first run is not counted.")
    max_created: int = Field(default=0, ge=0)
    max_changed_share: float | None = Field(default=None, ge=0, le=1)
    max_changed: int = Field(default=0, ge=0)
    max_invalid_share: float = Field(default=0.1, ge=0, le=1, description="Of the rows of the source.")
    max_source_age_hours: float = Field(
        default=48, gt=0, description="How old the newest fact behind the marts may be."
    )


class Budget(_Frozen):
    """The most that one run may do without a person's approval."""

    max_operations: int | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0, description="In the destination's currency.")


class Retry(_Frozen):
    """How long the engine tries in one run, where it is not the engine's own patience."""

    attempts: int | None = Field(
        default=None,
        ge=1,
        description="How often one operation may be put off for its own fault before it is given up; "
        "by default 5 times.",
    )
    first_wait_seconds: float | None = Field(default=None, ge=0, description="Default: 1.")
    longest_wait_seconds: float | None = Field(default=None, ge=0, description="Default: 60.")
    answers_seconds: float | None = Field(
        default=None,
        ge=0,
        description="How long a run waits for the answers of a destination that answers later; what is not "
        "answered by then is asked for by the next run. Default: 60.",
    )


class Occurrence(_Frozen):
    """What makes one message of mode `append` another than the one before, and how long it may wait."""

    per: Literal["entry", "person", "event"] = Field(
        description="entry: each time that she enters the audience; person: once in her life; event: for "
        "each event of the source."
    )
    starts_with: Literal["newcomers", "everyone"] = Field(
        description="newcomers: whoever is there at the first run is noted and gets nothing; everyone: she "
        "gets the message too."
    )
    within_hours: float = Field(
        default=48,
        gt=0,
        description="How long after the event, or after it was first planned, a message may still leave.",
    )


class Approval(_Frozen):
    """When a plan needs a person's yes, and how long and how exactly that yes holds."""

    needed: Literal["when_guarded", "when_full", "always"] = Field(
        default="when_guarded",
        description="When a guard stops it; also when it is a full one; or always.",
    )
    valid_hours: float = Field(default=24, gt=0, description="How long an approval may wait to be applied.")
    tolerance_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="How many of the approved operations may have moved when it is applied; opt-outs may.",
    )


class Schedule(_Frozen):
    """When a sync is carried out by itself, on the marts as they are by then."""

    cron: str = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    timezone: str = Field(default="UTC", description="A name of the IANA time zone database.")

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if len(self.cron.split()) != CRON_FIELDS or not croniter.is_valid(self.cron):
            raise ValueError(f"cron: {self.cron!r} is no schedule of five fields, such as 0 8 * * *")
        if self.timezone not in zoneinfo.available_timezones():
            raise ValueError(f"timezone: {self.timezone!r} is not known; expected one such as Europe/Berlin")
        return self

    def __str__(self) -> str:
        """For a list of syncs."""
        return f"{self.cron} {self.timezone}"


def _kind_of_trigger(value: Any) -> str:
    return TRIGGER_KINDS[isinstance(value, dict | Schedule)]


Trigger = Annotated[
    Annotated[Literal["tick", "manual"], Tag(TRIGGER_KINDS[0])] | Annotated[Schedule, Tag(TRIGGER_KINDS[1])],
    Discriminator(_kind_of_trigger),
]


class SyncFile(_Frozen):
    """One file of activation/syncs: a source kept at a destination."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="A sync")

    name: str = Field(pattern=NAME, description="The file's name without .yml.")
    owner: Owner
    description: str = Field(min_length=1)
    source: Source
    destination: str = Field(pattern=NAME, description="An entry of destinations.yml.")
    list_name: str = Field(
        alias="list",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$",
        description="Which of the destination's lists, tables or audiences; no other sync may keep the same.",
    )
    mode: ModeName = Field(description="; ".join(f"{mode.name}: {mode.meaning}" for mode in MODES.values()))
    key: str = Field(description="The field of the mapping that the destination knows a person by.")
    mapping: dict[str, MappedField] = Field(min_length=1)
    route: Literal["live"] = Field(description="The first route; later ones are appended in the ledger.")
    trigger: Trigger = Field(
        default="tick",
        description="Carried out with every tick; or only by `cdp sync run` and `cdp sync apply`; or by a "
        "schedule of its own.",
    )
    occurrence: Occurrence | None = Field(default=None, description="With mode append, and only there.")
    after: tuple[str, ...] = Field(
        default=(), description="Syncs that must have ended without an error before this one starts."
    )
    guards: Guards = Guards()
    budget: Budget = Budget()
    retry: Retry = Retry()
    undo_days: float = Field(
        default=7,
        ge=0,
        description="How long what was sent is kept in the ledger, so that `cdp sync rollback` can put it "
        "back; 0 keeps no payload once it is delivered.",
    )
    approval: Approval = Approval()
    options: dict[str, Any] = Field(
        default_factory=dict, description="What the destination's type lets a sync choose."
    )

    @model_validator(mode="after")
    def _key_is_mapped(self) -> Self:
        if self.key not in self.mapping:
            raise ValueError(
                f"key: {self.key!r} is not a field of mapping; expected one of "
                f"{', '.join(sorted(self.mapping))}"
            )
        if self.mapping[self.key].column is None:
            raise ValueError(f"mapping.{self.key}: expected a column, because it is the key")
        if (self.mode == "append") != (self.occurrence is not None):
            raise ValueError("occurrence: expected with mode append, and only there")
        if self.occurrence is not None:
            self._check_occurrence(self.occurrence)
        elif self.source.events is not None:
            raise ValueError("mode: expected append, the only one that events of a source are for")
        for field, mapped in self.mapping.items():
            if mapped.property is not None and self.source.events is None:
                raise ValueError(f"mapping.{field}.property: expected only with source.events")
            if field != self.key and mapped.value is None and "when_null" not in mapped.model_fields_set:
                raise ValueError(f"mapping.{field}.when_null: missing; say send, omit or default")
        return self

    def _check_occurrence(self, occurrence: Occurrence) -> None:
        wanted = {"audience": ("entry", "person"), "profiles": ("person",), "events": ("event",)}
        if occurrence.per not in wanted[self.source.kind]:
            raise ValueError(
                f"occurrence.per: expected {' or '.join(wanted[self.source.kind])} with source."
                f"{self.source.kind}, found {occurrence.per!r}"
            )
        if self.budget.max_operations is None:
            raise ValueError(
                "budget.max_operations: missing; say how many messages one run may send before a person is "
                "asked"
            )


class Cost(_Frozen):
    """What a destination charges for one operation of each kind."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    add: float = Field(default=0, ge=0)
    update: float = Field(default=0, ge=0)
    remove: float = Field(default=0, ge=0)
    erase: float = Field(default=0, ge=0)
    send: float = Field(default=0, ge=0)


class Outage(_Frozen):
    """When a destination is taken to be down, and how long one run waits for it."""

    failures_in_a_row: int | None = Field(
        default=None,
        ge=1,
        description="After so many failed requests in a row nothing is sent for a while; by default 4.",
    )
    give_up_after_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Having taken nothing for so long, it is left to the next run; by default 60.",
    )
