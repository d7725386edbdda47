"""How right suspicions are: precision and recall on records of which it is known who is who.

python -m tests.benchmarks.matching prints one JSON line for each row, and a Markdown table of them. Compared
are, on the same records: what an authoritative identifier says by itself (an e-mail address, or FEBRL's
soc_sec_id), that with what `cdp identity match` suspects, and splink alone with the settings of its own
documentation. Each is measured as pairs, against the truth and, where clerks looked at pairs, their word.
"""

import json
import logging
import time
from collections.abc import Callable
from importlib.metadata import version

import duckdb
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink import comparison_library as library

from orchestration.identity.matching import suspected_pairs
from orchestration.identity.matching_rules import read_matching_rules
from tests.identity_data import (
    DATA,
    NEEDS_DATA,
    Pair,
    Records,
    fake_1000,
    febrl,
    grouped,
    pair_of,
    pairs_within,
)

RULES = read_matching_rules()
COLUMNS = ("records", "compared with", "what says so", "pairs", "right", "precision", "recall", "F1")


def ours(records: Records) -> set[Pair]:
    """What our own command suspects."""
    found = suspected_pairs(records.profiles, RULES, least_score=RULES.least_score).pairs.to_pylist()
    return {pair_of(row["from_key"], row["to_key"]) for row in found}


def splink_alone(records: Records) -> set[Pair]:
    """splink as its documentation begins: its own comparisons for what each column holds, block and train."""
    logging.getLogger("splink").setLevel(logging.CRITICAL)
    known = [name for name in records.profiles.column_names if records.profiles[name].null_count < 1_000]
    comparisons = {
        "first_name": library.NameComparison("first_name"),
        "last_name": library.NameComparison("last_name"),
        "date_of_birth": library.DateOfBirthComparison("date_of_birth", input_is_string=True),
        "street": library.LevenshteinAtThresholds("street"),
        "city": library.ExactMatch("city").configure(term_frequency_adjustments=True),
        "postal_code": library.LevenshteinAtThresholds("postal_code"),
        "email": library.EmailComparison("email"),
    }
    blocking = [block_on("first_name", "last_name"), block_on("date_of_birth"), block_on("last_name")]
    with duckdb.connect(config={"threads": 1}) as connection:
        database = DuckDBAPI(connection)
        connection.register("records", records.profiles)
        connection.execute("create table given as from records order by identifier_key")
        linker = Linker(
            database.register("given"),
            SettingsCreator(
                link_type="dedupe_only",
                unique_id_column_name="identifier_key",
                comparisons=[each for name, each in comparisons.items() if name in known],
                blocking_rules_to_generate_predictions=[
                    *blocking,
                    *([block_on("email")] if "email" in known else []),
                ],
            ),
            log_level=None,
        )
        linker.training.estimate_probability_two_random_records_match(
            [
                block_on("first_name", "last_name", "date_of_birth"),
                *([block_on("email")] if "email" in known else []),
            ],
            recall=0.7,
        )
        linker.training.estimate_u_using_random_sampling(max_pairs=1e7, seed=1)
        for rule in (block_on("first_name", "last_name"), block_on("date_of_birth")):
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
        scored = linker.inference.predict(threshold_match_probability=RULES.least_score).physical_name
        found = connection.execute(f"select identifier_key_l, identifier_key_r from {scored}").fetchall()
    return {pair_of(a, b) for a, b in found}


def measured(found: set[Pair], right: set[Pair]) -> dict[str, float]:
    """Counts and shares of pairs; F1 is the harmonic mean of precision and recall."""
    hits = len(found & right)
    precision, recall = (hits / len(found) if found else 1.0), hits / len(right)
    return {
        "pairs": len(found),
        "right": len(right),
        "precision": precision,
        "recall": recall,
        "F1": 2 * precision * recall / (precision + recall) if hits else 0.0,
    }


def rows_of(records: Records, authority: str) -> list[dict[str, object]]:
    """Every line of the table about these records."""
    keys = records.profiles["identifier_key"].to_pylist()
    seconds = {}

    def timed(name: str, find: Callable[[Records], set[Pair]]) -> set[Pair]:
        started = time.perf_counter()
        found = find(records)
        seconds[name] = time.perf_counter() - started
        return found

    suspected, alone = timed("ours", ours), timed("splink", splink_alone)
    sure = pairs_within(records.surely)
    says = {
        f"{authority} alone": sure,
        f"{authority}, and suspicions": sure | suspected,
        f"{authority}, and suspicions, grouped": pairs_within(grouped(keys, sure | suspected)),
        "suspicions alone": suspected,
        "splink alone": alone,
        "splink alone, grouped": pairs_within(grouped(keys, alone)),
    }
    lines: list[dict[str, object]] = []
    for what, found in says.items():
        lines.append(
            {"records": records.name, "compared with": "the truth", "what says so": what}
            | measured(found, records.true_pairs)
        )
    if records.labels:
        clerks = {pair for pair, is_one_person in records.labels.items() if is_one_person}
        for what, found in says.items():
            lines.append(
                {"records": records.name, "compared with": "the clerks", "what says so": what}
                | measured(found & records.labels.keys(), clerks)
            )
    print(json.dumps({"stage": f"match {records.name}", "rows": len(keys)} | seconds))
    return lines


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Measure and print."""
    if not DATA.exists():
        raise SystemExit(NEEDS_DATA)
    lines = rows_of(fake_1000(), "e-mail") + rows_of(febrl(), "soc_sec_id")
    for line in lines:
        print(json.dumps(line))
    print(f"\nscore {RULES.least_score} or more, rules {RULES.rules_hash}, splink {version('splink')}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for line in lines:
        print(f"| {' | '.join(map(_cell, line.values()))} |")


if __name__ == "__main__":
    main()
