"""Where a sync takes its rows from: the public mart, and the condition that picks them."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME = r"^[a-z][a-z0-9_]{0,62}$"
KINDS = ("audience", "profiles")

# Each yields canonical_id, identifier_key and the columns that a mapping may name, one row per address.
_MEMBERS: Mapping[str, str] = {
    "audience": "select * from marts.audience_memberships where audience_name = $name and channel = $channel",
    "profiles": (
        "select * from marts.contact_points where channel = $channel and purpose = $name"
        " and decision = 'allow' and is_preferred"
    ),
}
_HELD_BACK: Mapping[str, str] = {
    "audience": (
        "select reason from marts.audience_exclusions where audience_name = $name and channel = $channel"
    ),
    "profiles": (
        "select rule as reason from marts.contact_points where channel = $channel and purpose = $name"
        " and decision <> 'allow'"
    ),
}
MEMBERS_TABLE: Mapping[str, str] = {"audience": "audience_memberships", "profiles": "contact_points"}


class Source(BaseModel):
    """Who the rows are about: the members of an audience, or every person reachable for a purpose.

    Either way only addresses that consent allows at the channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    audience: str | None = Field(default=None, pattern=NAME, description="The name of an audience.")
    profiles: Literal["reachable"] | None = Field(
        default=None, description="Every person with an address that may be used for `purpose`."
    )
    purpose: str | None = Field(
        default=None, pattern=NAME, description="With `profiles`: a purpose of consent_policies.csv."
    )
    channel: str = Field(
        pattern=NAME, description="A channel of channels.csv; the address is of this channel."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(KINDS)}, found {', '.join(given) or 'none'}")
        if (self.profiles is not None) != (self.purpose is not None):
            raise ValueError("purpose: expected with profiles, and only there")
        return self

    @property
    def kind(self) -> str:
        """`audience` or `profiles`."""
        return "audience" if self.audience is not None else "profiles"

    @property
    def name(self) -> str:
        """The audience, or the purpose that profiles are reachable for."""
        return self.audience or self.purpose or ""

    @property
    def members_sql(self) -> str:
        """The rows, with the parameters $name and $channel."""
        return _MEMBERS[self.kind]

    @property
    def held_back_sql(self) -> str:
        """One row with its `reason` for each whom the source keeps out of the channel."""
        return _HELD_BACK[self.kind]

    @property
    def members_table(self) -> str:
        """The mart whose columns a mapping may name before those of profiles."""
        return MEMBERS_TABLE[self.kind]

    def __str__(self) -> str:
        """For people: what and where."""
        what = f"audience {self.name}" if self.kind == "audience" else f"profiles reachable for {self.name}"
        return f"{what} at {self.channel}"
