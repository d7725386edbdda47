"""Invented names, e-mail addresses and phone numbers, and the many ways in which people write them.

Addresses lie in domains that RFC 2606 reserves for documentation. British and American phone numbers come
from the ranges that Ofcom and NANPA keep for drama, all others from +878 10, a universal numbering plan
without subscribers.
"""

from __future__ import annotations

import unicodedata
from random import Random
from typing import Final

from ingestion.sample.randomness import Weighted, pick

FIRST_NAMES: Final = """
    Alice Amelia Anna Anton Beatrice Ben Camille Carlos Charlotte Chloé Claire Daniel David Eleanor Elif
    Emil Emily Emma Eva Felix Fiona Florian François Freya George Giulia Grace Hannah Harry Helen Henrik
    Ines Isaac Ivy Jack Jakob James Jan Jana Jonas José Julia Karin Kate Klara Lars Laura Léa Leo Lena
    Lewis Liam Lily Louis Lucía Luke Lucy Mads Maria Marta Max Mia Michael Mohammed Nadia Nina Noah Nora
    Oliver Olivia Oscar Pauline Peter Priya Rachel Robert Rosie Ruth Samuel Sara Sofia Søren Stefan
    Susan Thomas Tom Tove Ursula Victor Wei William Yusuf Zoe
""".split()  # noqa: SIM905 (a list of a hundred quoted names is no easier to read)
LAST_NAMES: Final = """
    Adams Ahmed Allen Andersen Baker Bauer Becker Bell Bennett Bernard Bianchi Brown Byrne Campbell
    Carter Castro Clark Clarke Collins Cook Cooper Costa Cox Davies Dubois Edwards Evans Fernández
    Fischer Foster García Garnier Gray Green Hall Hansen Harris Hill Hoffmann Hughes Jackson Jansen
    Johansson Johnson Jones Kaya Keller Kelly Khan King Koch Kowalski Lambert Larsen Lee Lefèvre Lewis
    López Marsh Martin Mason Meyer Miller Mitchell Moore Moreau Morgan Morris Müller Murphy Murray
    Nielsen O'Brien Olsen Owen Palmer Parker Patel Petit Phillips Powell Price Richards Roberts Robinson
    Rossi Roux Russell Santos Schmidt Schneider Schulz Scott Shaw Silva Simpson Singh Smith Stewart
    Svensson Taylor Thompson Turner Visser Wagner Walker Ward Watson Weber White Williams Wilson Wood
    Wright Young
""".split()  # noqa: SIM905 (a list of a hundred quoted names is no easier to read)
_DOMAINS: Final = (
    "example.com",
    "example.net",
    "example.org",
    "mail.example",
    "post.example",
    "inbox.example",
)
_TAGS: Final = ("+shop", "+gifts", "+orders", "+newsletter")
_INVALID_EMAILS: Final = ("{0}.at.example.com", "{0}@@example.com", "n/a ({0})", "@{0}")
_SPELLING: Final = Weighted(plain=80, capitalised=8, upper=4, leading=3, trailing=5)

# Area code and first digits of Ofcom's ranges for drama, a thousand numbers each.
_UK_DRAMA: Final = (
    *("113496", "114496", "116496", "117496", "118496", "121496", "131496", "141496", "151496"),
    *("161496", "191498", "207946", "289649", "292018"),
)
_US_AREAS: Final = (
    "202",
    "206",
    "212",
    "303",
    "305",
    "312",
    "404",
    "415",
    "512",
    "617",
    "702",
    "713",
    "808",
    "907",
)
INVALID_PHONES: Final = ("n/a", "call me", "-")


def email_address(random: Random, first: str, last: str, number: str) -> str:
    """A normalised address that nobody else has, as long as `number` is nobody else's."""
    name, surname = _ascii(first), _ascii(last)
    local = pick(
        random, (f"{name}.{surname}", f"{name[0]}{surname}", f"{name}_{surname}", f"{surname}.{name}")
    )
    tag = pick(random, _TAGS) if random.random() < 0.06 else ""
    return f"{local}.{number}{tag}@{pick(random, _DOMAINS)}"


def invalid_email(random: Random, first: str, number: str) -> str:
    """Something typed into the field for an e-mail address that is none."""
    return pick(random, _INVALID_EMAILS).format(f"{_ascii(first)}.{number}")


def spell_email(random: Random, email: str) -> str:
    """The address as typed this time: mostly clean, sometimes with capitals or spaces around it."""
    spelling = _SPELLING.draw(random)
    if spelling == "plain":
        return email
    if spelling == "capitalised":
        local, _, domain = email.partition("@")
        return f"{local.title()}@{domain}"
    if spelling == "upper":
        return email.upper()
    return f" {email}" if spelling == "leading" else f"{email}  "


def phone_number(replica: int, index: int, country: str | None) -> str:
    """A valid E.164 number; `index` is unique within the replica."""
    if replica == 0 and country == "GB" and index < 14_000:
        prefix = _UK_DRAMA[index % len(_UK_DRAMA)]
        return f"+44{prefix}{index // len(_UK_DRAMA) % 1000:04d}"
    if replica == 0 and country == "US" and index < 1_400:
        return f"+1{_US_AREAS[index % len(_US_AREAS)]}55501{index // len(_US_AREAS):02d}"
    return f"+87810{replica:05d}{index:05d}"


def spell_phone(random: Random, phone: str) -> str:
    """The number as typed this time; one without a country code is British."""
    draw = random.random()
    if draw < 0.5:
        return phone
    if phone.startswith("+44"):
        area, rest = phone[3:6], phone[6:]
        if draw < 0.75:
            return f"0{area} {rest[:3]} {rest[3:]}"
        return f"+44 (0){area} {rest}" if draw < 0.85 else f"0044{area}{rest}"
    return f" {phone[:3]} {phone[3:7]}-{phone[7:]}" if draw < 0.8 else f"{phone} "


def _ascii(name: str) -> str:
    plain = name.replace("ø", "o").replace("Ø", "O").replace("'", "")
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
