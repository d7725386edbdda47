"""What the legacy cloud knows of its subscribers by name: the profiles of Attributes.csv.

A few dozen people stand in it twice, with another subscriber key and another address, and are spelled
differently: nothing that they send says that the two profiles are one person's. Everything here is drawn from
random streams of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Final

from ingestion.sample.model import Household, Subscription
from ingestion.sample.randomness import Weighted, pick, stream

# How many people stand in the cloud twice, at most: only subscribers of whom nothing else is known are taken.
DUPLICATES: Final = 40
_UNKNOWN_BIRTHDAYS: Final = 0.12
_UNKNOWN_HOMES: Final = 0.08
_PHONES: Final = 0.25
_FIRST_BIRTHDAY: Final = date(1930, 1, 1)
_BIRTHDAYS: Final = 62 * 365
_COUNTRIES: Final = Weighted(GB=70, DE=10, FR=10, IE=5, NL=5)
_STREETS: Final = (
    *("Abbey Road", "Acacia Avenue", "Baker Street", "Bridge Street", "Cedar Close", "Chapel Lane"),
    *("Church Street", "Cherry Tree Walk", "Elm Grove", "Green Lane", "Grange Road", "High Street"),
    *("Kings Road", "London Road", "Main Street", "Manor Way", "Mill Lane", "New Street", "North Road"),
    *("Orchard Close", "Park Avenue", "Park Road", "Queens Road", "Richmond Road", "School Lane"),
    *("South Street", "Springfield Road", "St Johns Road", "Stanley Road", "Station Road", "The Avenue"),
    *("The Crescent", "Victoria Road", "Water Lane", "West Street", "Windsor Road", "Woodland Drive"),
)
_CITIES: Final[dict[str, tuple[str, ...]]] = {
    "GB": (
        *("London", "Leeds", "Bristol", "Glasgow", "Norwich", "Cardiff", "Sheffield", "Exeter", "Bath"),
        *("Brighton", "York", "Derby", "Leicester", "Swansea", "Oxford", "Coventry", "Hull", "Plymouth"),
    ),
    "DE": ("Berlin", "Hamburg", "Leipzig", "Köln", "Bremen"),
    "FR": ("Paris", "Lyon", "Nantes", "Lille", "Rennes"),
    "IE": ("Dublin", "Cork", "Galway"),
    "NL": ("Utrecht", "Rotterdam", "Haarlem"),
}


@dataclass(frozen=True, slots=True)
class Home:
    """Where somebody lives."""

    street: str = ""
    city: str = ""
    postal_code: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One row of Attributes.csv. `is_known_elsewhere` where the person did anything beside subscribing."""

    subscription: Subscription
    first_name: str
    last_name: str
    born: date | None
    home: Home
    phone: str
    is_known_elsewhere: bool


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two subscriber keys of one person, and how the second profile is spelled differently."""

    subscriber_key: str
    other_subscriber_key: str
    spelled: str


def profiles_of(household: Household, seed: int) -> list[Profile]:
    """A profile for every subscription of the people of one household, who live together."""
    home = _home(stream(seed, 0, f"home/{household[0].key}"))
    profiles = []
    for person in household:
        random = stream(seed, 0, f"profile/{person.key}")
        born = _FIRST_BIRTHDAY + timedelta(days=int(random.random() * _BIRTHDAYS))
        is_unborn, is_homeless = random.random() < _UNKNOWN_BIRTHDAYS, random.random() < _UNKNOWN_HOMES
        phone = f"+87811{int(random.random() * 10**10):010d}" if random.random() < _PHONES else ""
        profiles += [
            Profile(
                subscription=subscription,
                first_name=person.first_name,
                last_name=person.last_name,
                born=None if is_unborn else born,
                home=Home() if is_homeless else home,
                phone=phone,
                is_known_elsewhere=person.kind != "subscriber",
            )
            for subscription in person.subscriptions
        ]
    return profiles


def spelled_twice(profiles: list[Profile], seed: int) -> tuple[list[Profile], list[Duplicate]]:
    """The profiles with every second of some made another spelling of the one before; and which those are."""
    lone = sorted(
        (
            place
            for place, profile in enumerate(profiles)
            if not profile.is_known_elsewhere and profile.born is not None and profile.home.street
        ),
        key=lambda place: profiles[place].subscription.key,
    )
    found = list(profiles)
    duplicates: list[Duplicate] = []
    for first, second in list(zip(lone[::2], lone[1::2], strict=False))[:DUPLICATES]:
        one, other = profiles[first], profiles[second]
        random = stream(seed, 0, f"duplicate/{one.subscription.key}")
        names = list(_SPELLINGS)
        spelled = names[len(duplicates) % len(names)]
        if spelled == "day_and_month_swapped":
            found[first] = one = replace(one, born=_readable_either_way(one.born))
        found[second] = replace(_SPELLINGS[spelled](random, one), subscription=other.subscription)
        duplicates.append(Duplicate(one.subscription.key, other.subscription.key, spelled))
    return found, duplicates


def _home(random: Random) -> Home:
    country = _COUNTRIES.draw(random)
    city = pick(random, _CITIES[country])
    number = int(random.random() * 100_000)
    letters = "ABDEFGHJLNPQRSTUWXYZ"
    postal_code = (
        f"{city[:2].upper()}{number % 20 + 1} {number % 9 + 1}{pick(random, letters)}{pick(random, letters)}"
        if country in {"GB", "IE"}
        else f"{number:05d}"
    )
    return Home(f"{1 + int(random.random() * 160)} {pick(random, _STREETS)}", city, postal_code, country)


def _readable_either_way(born: date | None) -> date | None:
    """A birthday near this one of which day and month are another date when they are swapped."""
    if born is None:
        return None
    day = (born.day - 1) % 12 + 1
    return born.replace(day=day % 12 + 1 if day == born.month else day)


def _mistyped(random: Random, name: str) -> str:
    """The name with two letters swapped, one left out or one doubled."""
    place = 1 + int(random.random() * (len(name) - 2))
    way = random.random()
    if way < 0.4 and name[place] != name[place + 1]:
        return name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    if way < 0.7 and len(name) > 3:
        return name[:place] + name[place + 1 :]
    return name[:place] + name[place] + name[place:]


def _with_a_typo(random: Random, profile: Profile) -> Profile:
    return replace(profile, last_name=_mistyped(random, profile.last_name))


def _with_another_home(random: Random, profile: Profile) -> Profile:
    return replace(profile, home=_home(random))


def _with_day_and_month_swapped(random: Random, profile: Profile) -> Profile:  # noqa: ARG001 (one of a table)
    born = profile.born
    return profile if born is None else replace(profile, born=date(born.year, born.day, born.month))


def _with_a_typo_and_an_initial(random: Random, profile: Profile) -> Profile:
    return replace(_with_a_typo(random, profile), first_name=profile.first_name[0] + ".")


_SPELLINGS: Final[dict[str, Callable[[Random, Profile], Profile]]] = {
    "typo": _with_a_typo,
    "moved": _with_another_home,
    "day_and_month_swapped": _with_day_and_month_swapped,
    "typo_and_initial": _with_a_typo_and_an_initial,
}
