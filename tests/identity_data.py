"""Records of people of whom it is known who is who: the reference data beside the project, if it is there."""

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from orchestration.identity.matching_rules import TRAITS

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "identity"
NEEDS_DATA = f"the reference data is not there: {DATA}"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Records:
    """`profiles` as matching takes them; `person` and `surely` by key: the truth, and an authoritative id."""

    name: str
    profiles: pa.Table
    person: dict[str, str]
    surely: dict[str, str]
    # what clerks said of some pairs: whether they are one person
    labels: dict[Pair, bool] = field(default_factory=dict)

    @property
    def true_pairs(self) -> set[Pair]:
        """Every pair of one person."""
        return pairs_within(self.person)

    @property
    def sure_pairs(self) -> set[Pair]:
        """Every pair with the same authoritative identifier."""
        return pairs_within(self.surely)


def fake_1000() -> Records:
    """1,000 records of 251 people, with an address in most; clerks looked at 3,176 pairs."""
    rows = _rows("fake_1000.csv")
    traits = {"first_name": "first_name", "last_name": "surname", "date_of_birth": "dob", "city": "city"}
    profiles = [
        {"identifier_key": row["unique_id"], "email": row["email"]}
        | {trait: row[column] for trait, column in traits.items()}
        for row in rows
    ]
    return Records(
        name="fake_1000",
        profiles=profiles_of(profiles),
        person={row["unique_id"]: row["cluster"] for row in rows},
        surely={row["unique_id"]: row["email"].strip().lower() for row in rows if row["email"]},
        labels={
            pair_of(row["unique_id_l"], row["unique_id_r"]): float(row["clerical_match_score"]) > 0.5
            for row in _rows("fake_1000_labels.csv")
        },
    )


def febrl() -> Records:
    """1,000 records of 500 people, each once as it is and once with errors, without e-mail addresses."""
    rows = _rows("febrl_dataset1.csv")
    profiles = [
        {
            "identifier_key": row["rec_id"],
            "first_name": row["given_name"],
            "last_name": row["surname"],
            "date_of_birth": _iso(row["date_of_birth"]),
            "street": f"{row['street_number']} {row['address_1']}".strip(),
            "city": row["suburb"],
            "postal_code": row["postcode"],
        }
        for row in rows
    ]
    return Records(
        name="febrl_dataset1",
        profiles=profiles_of(profiles),
        person={row["rec_id"]: row["rec_id"].split("-")[1] for row in rows},
        surely={row["rec_id"]: row["soc_sec_id"] for row in rows if row["soc_sec_id"]},
    )


def profiles_of(rows: Iterable[dict[str, str]]) -> pa.Table:
    """Profiles with every trait, null where a row has none."""
    listed = list(rows)
    return pa.table(
        {
            name: pa.array([row.get(name) or None for row in listed], pa.string())
            for name in ("identifier_key", *TRAITS)
        }
    )


def pair_of(a: str, b: str) -> Pair:
    """Two keys, the smaller first."""
    return (a, b) if a < b else (b, a)


def pairs_within(group_of: dict[str, str]) -> set[Pair]:
    """Every pair of keys of one group."""
    members = defaultdict(list)
    for key, group in group_of.items():
        members[group].append(key)
    return {pair_of(*pair) for keys in members.values() for pair in itertools.combinations(keys, 2)}


def grouped(keys: Iterable[str], pairs: Iterable[Pair]) -> dict[str, str]:
    """Key to a name of all that hang together by these pairs."""
    place = {key: key for key in keys}

    def top(key: str) -> str:
        while place[key] != key:
            place[key] = place[place[key]]
            key = place[key]
        return key

    for a, b in pairs:
        place[top(a)] = top(b)
    return {key: top(key) for key in place}


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, skipinitialspace=True))


def _iso(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if len(digits) == 8 else ""
