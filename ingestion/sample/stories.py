"""What people did about consent, as short stories: steps in order, and what the legacy cloud made of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ingestion.sample.randomness import Weighted

Status = Literal["granted", "withdrawn", "pending_doi", "cloud_unsubscribed", "broken"]
Cloud = Literal["likely", "active", "bounced", "held", "unsubscribed", "reactivated", "second_key", "absent"]


@dataclass(frozen=True, slots=True)
class Step:
    """One act: `address` is the index of the person's address, None means all of them.

    The legacy cloud's unsubscribe and a grant that breaks its contract are acts too. `together` puts the
    act at the very instant of the one before.
    """

    status: Status
    method: str
    address: int | None = 0
    together: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """Steps in order of time, and how the legacy cloud knows the (first) address."""

    steps: tuple[Step, ...] = ()
    cloud: Cloud = "likely"


_ASKED = Step("granted", "form")
_PENDING = Step("pending_doi", "form")
_CONFIRMED = Step("granted", "double_opt_in")
_CHOSEN = Step("granted", "preference_center")
_AGENT = Step("granted", "agent")
_ONE_CLICK = Step("withdrawn", "one_click")
_EVERYWHERE = Step("withdrawn", "preference_center", None)
_CLOUD = Step("cloud_unsubscribed", "import")

EMAIL_STORIES: Final = MappingProxyType(
    {
        "no_address": Story(cloud="absent"),
        "never_asked": Story(cloud="absent"),
        "granted_form": Story((_ASKED,)),
        "granted_double_opt_in": Story((_PENDING, _CONFIRMED)),
        "granted_preference_center": Story((_CHOSEN,)),
        "granted_agent": Story((_AGENT,)),
        "withdrawn_one_click": Story((_ASKED, _ONE_CLICK)),
        "withdrawn_everywhere": Story((_ASKED, _EVERYWHERE)),
        "regranted": Story((_ASKED, _ONE_CLICK, _CHOSEN)),
        "regranted_double_opt_in": Story((_ASKED, _ONE_CLICK, _PENDING, _CONFIRMED)),
        "agent_after_withdrawal": Story((_ASKED, _ONE_CLICK, _AGENT)),
        "import_after_withdrawal": Story((_ASKED, _EVERYWHERE, Step("granted", "import"))),
        "withdrawn_same_instant": Story((_CHOSEN, Step("withdrawn", "one_click", together=True))),
        "pending": Story((_PENDING,), "absent"),
        "pending_after_withdrawal": Story((_ASKED, _ONE_CLICK, _PENDING), "absent"),
        "broken_grant": Story((_ASKED, _ONE_CLICK, Step("broken", "form"))),
        "bounced": Story((_ASKED,), "bounced"),
        "legacy_only": Story(cloud="active"),
        "held": Story((_ASKED,), "held"),
        "held_without_consent": Story(cloud="held"),
        "cloud_unsubscribed": Story((_CLOUD,), "unsubscribed"),
        "granted_then_cloud_unsubscribed": Story((_ASKED, _CLOUD), "unsubscribed"),
        "cloud_unsubscribed_then_regranted": Story((_CLOUD, _CHOSEN), "unsubscribed"),
        "cloud_unsubscribed_then_agent": Story((_CLOUD, _AGENT), "unsubscribed"),
        "cloud_reactivated": Story((_ASKED, _CLOUD), "reactivated"),
        "second_key_unsubscribed": Story((_ASKED, _CLOUD), "second_key"),
        "two_granted": Story((_ASKED, Step("granted", "form", 1))),
        "two_second_unasked": Story((_ASKED,)),
        "two_first_withdrawn": Story((_ASKED, Step("granted", "form", 1), _ONE_CLICK)),
        "two_withdrawn_everywhere": Story((_ASKED, Step("granted", "form", 1), _EVERYWHERE)),
        "two_second_regranted": Story((_ASKED, _EVERYWHERE, Step("granted", "preference_center", 1))),
        "two_first_held": Story((_ASKED, Step("granted", "form", 1)), "held"),
        "shared": Story((_ASKED,), "active"),
        "shared_and_own": Story((_ASKED, Step("granted", "form", 1)), "absent"),
    }
)
SMS_STORIES: Final = MappingProxyType(
    {
        "no_address": Story(cloud="absent"),
        "shared": Story((_ASKED,), "absent"),
        "never_asked": Story(cloud="absent"),
        "granted_form": Story((_ASKED,), "absent"),
        "granted_double_opt_in": Story((_PENDING, _CONFIRMED), "absent"),
        "pending": Story((_PENDING,), "absent"),
        "withdrawn": Story((_ASKED, Step("withdrawn", "form")), "absent"),
        "withdrawn_everywhere": Story((_ASKED, _EVERYWHERE), "absent"),
        "regranted": Story((_ASKED, _EVERYWHERE, _CHOSEN), "absent"),
        "agent_after_withdrawal": Story((_ASKED, _EVERYWHERE, _AGENT), "absent"),
    }
)

# How often each story happens to an address of somebody with an account.
EMAIL: Final = Weighted(
    granted_form=48, granted_double_opt_in=14, granted_preference_center=4, granted_agent=3, bounced=2,
    withdrawn_one_click=5, withdrawn_everywhere=2.5, regranted=2, regranted_double_opt_in=1,
    agent_after_withdrawal=1.5, import_after_withdrawal=1, withdrawn_same_instant=0.6, pending=3,
    pending_after_withdrawal=0.8, broken_grant=0.5, never_asked=2, legacy_only=4, held=1.2,
    held_without_consent=0.4, cloud_unsubscribed=1, granted_then_cloud_unsubscribed=2,
    cloud_unsubscribed_then_regranted=1.2, cloud_unsubscribed_then_agent=0.6, cloud_reactivated=0.8,
    second_key_unsubscribed=0.8,
)  # fmt: skip
# To two addresses of one person.
TWO_EMAILS: Final = Weighted(
    two_granted=40, two_second_unasked=20, two_first_withdrawn=20, two_withdrawn_everywhere=10,
    two_second_regranted=10, two_first_held=10,
)  # fmt: skip
# To an address that only the legacy cloud knows.
UNTOLD: Final = Weighted(legacy_only=80, cloud_unsubscribed=12, held_without_consent=8)
# To a phone number.
SMS: Final = Weighted(
    granted_form=46, granted_double_opt_in=10, pending=6, withdrawn=6, withdrawn_everywhere=4, regranted=3,
    agent_after_withdrawal=3, never_asked=22,
)  # fmt: skip
# To the address that a guest left at a checkout.
GUEST: Final = Weighted(never_asked=45, granted_form=37, pending=10, withdrawn_one_click=8)
