"""The country names of the extract as ISO 3166-1 alpha-2 codes."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# "Unspecified", "West Indies" and "European Community" are no countries: they map to nothing.
COUNTRY_CODES: Final = MappingProxyType(
    {
        "Australia": "AU",
        "Austria": "AT",
        "Bahrain": "BH",
        "Belgium": "BE",
        "Bermuda": "BM",
        "Brazil": "BR",
        "Canada": "CA",
        "Channel Islands": "GG",
        "Cyprus": "CY",
        "Denmark": "DK",
        "EIRE": "IE",
        "Finland": "FI",
        "France": "FR",
        "Germany": "DE",
        "Greece": "GR",
        "Hong Kong": "HK",
        "Iceland": "IS",
        "Israel": "IL",
        "Italy": "IT",
        "Japan": "JP",
        "Korea": "KR",
        "Lebanon": "LB",
        "Lithuania": "LT",
        "Malta": "MT",
        "Netherlands": "NL",
        "Nigeria": "NG",
        "Norway": "NO",
        "Poland": "PL",
        "Portugal": "PT",
        "RSA": "ZA",
        "Singapore": "SG",
        "Spain": "ES",
        "Sweden": "SE",
        "Switzerland": "CH",
        "Thailand": "TH",
        "USA": "US",
        "United Arab Emirates": "AE",
        "United Kingdom": "GB",
    }
)


def country_code(name: str) -> str | None:
    """The alpha-2 code of a country name in the extract; None where the name is no country."""
    return COUNTRY_CODES.get(name)
