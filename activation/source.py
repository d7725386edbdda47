"""Where a sync takes its rows from: the public marts, and the condition that picks the rows."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from activation.sql_files import read_sql

NAME = r"^[a-z][a-z0-9_]{0,62}$"
KINDS = ("audience", "profiles", "events")

# Each yields canonical_id, identifier_key and the columns that a mapping may name: one row per address; of
# events one per event, with its occurrence_key.
_MEMBERS: Mapping[str, str] = {
    "audience": "select * from marts.audience_memberships where audience_name = $name and channel = $channel",
    "profiles": (
        "select * from marts.contact_points where channel = $channel and purpose = $purpose"
        " and decision = 'allow' and is_preferred"
    ),
    "events": read_sql("source_events"),
}
_HELD_BACK: Mapping[str, str] = {
    "audience": (
        "select reason from marts.audience_exclusions where audience_name = $name and channel = $channel"
    ),
    "profiles": (
        "select rule as reason from marts.contact_points where channel = $channel and purpose = $purpose"
        " and decision <> 'allow'"
    ),
    "events": read_sql("source_events_held_back"),
}
ADDRESS = ("identifier_type", "identifier_key", "identifier_value")
# The marts whose columns a mapping may name, the one that rows are of first; of further ones only ADDRESS.
_TABLES: Mapping[str, tuple[str, ...]] = {
    "audience": ("audience_memberships",),
    "profiles": ("contact_points",),
    "events": ("event_stream", "contact_points"),
}


class Source(BaseModel):
    """Who the rows are about: the members of an audience, or every person reachable for a purpose; or what
    people did, with a purpose that they may be told of it for.

    In every case only addresses that consent allows at the channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    audience: str | None = Field(default=None, pattern=NAME, description="The name of an audience.")
    profiles: Literal["reachable"] | None = Field(
        default=None, description="Every person with an address that may be used for `purpose`."
    )
    events: str | None = Field(
        default=None,
        pattern=NAME,
        description="The name of an event: each one of a person with an address that may be used for "
        "`purpose`. With mode append.",
    )
    purpose: str | None = Field(
        default=None, pattern=NAME, description="With profiles or events: a purpose of consent_policies.csv."
    )
    channel: str = Field(
        pattern=NAME, description="A channel of channels.csv; the address is of this channel."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(KINDS)}, found {', '.join(given) or 'none'}")
        if (self.audience is None) != (self.purpose is not None):
            raise ValueError("purpose: expected with profiles or events, and only there")
        return self

    @property
    def kind(self) -> str:
        """`audience`, `profiles` or `events`."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def name(self) -> str:
        """The audience, the event, or the purpose that profiles are reachable for."""
        return self.audience or self.events or self.purpose or ""

    @property
    def members_sql(self) -> str:
        """The rows, with the parameters of `values`."""
        return _MEMBERS[self.kind]

    @property
    def held_back_sql(self) -> str:
        """One row with its `reason` for each whom the source keeps out of the channel."""
        return _HELD_BACK[self.kind]

    @property
    def stayed_sql(self) -> str:
        """The keys of people who have not left although `members_sql` does not show them."""
        return read_sql("plan_stayed") if self.audience else "select null::varchar as destination_key"

    @property
    def tables(self) -> tuple[str, ...]:
        """The marts whose columns a mapping may name before those of profiles; the rows are the first's."""
        return _TABLES[self.kind]

    def values(self, *, as_of: datetime | None, within: timedelta | None) -> dict[str, object]:
        """The parameters of every statement of this source; events are asked for since `as_of` - `within`."""
        since = as_of - within if as_of is not None and within is not None else None
        return {
            "name": self.name,
            "channel": self.channel,
            "purpose": self.purpose,
            "since": None if since is None else since.replace(tzinfo=None),
        }

    def __str__(self) -> str:
        """For people: what and where."""
        what = {
            "audience": f"audience {self.name}",
            "profiles": f"profiles reachable for {self.purpose}",
            "events": f"events {self.name} of people reachable for {self.purpose}",
        }
        return f"{what[self.kind]} at {self.channel}"
