"""Which profiles may be one person's, spelled differently: suspected by splink, never decided.

The model is Fellegi and Sunter's: how often each trait agrees among pairs of one person and among any two
is learned from the profiles themselves, without examples. The same profiles and rules give the same pairs.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from orchestration.errors import FatalOrchestrationError
from orchestration.identity.matching_rules import TRAITS, Comparison, MatchingRules, SameTraits
from orchestration.sql_files import read_sql

if TYPE_CHECKING:
    from splink import DuckDBAPI, Linker

SEED = 1
# Every pair of some 1,400 profiles; of more, so many are drawn to learn how often traits agree by chance.
MOST_CHANCE_PAIRS = 1_000_000
# How often what was learned is learned again from itself; fewer where nothing would be left to learn from.
MOST_ROUNDS = (25, 8, 3, 1)
# The least share of the pairs of one person, and of any two, in which a trait agrees in some way: what few
# pairs do not show is still possible.
LEAST_OF_ONE_PERSON = 0.005
LEAST_BY_CHANCE = 1e-6
PAIRS = pa.schema(
    [
        ("from_key", pa.string()),
        ("to_key", pa.string()),
        ("score", pa.float64()),
        ("agreement", pa.string()),
    ]
)
Level = tuple[str, str]


@dataclass(frozen=True)
class Matched:
    """What one match found: `pairs` has the columns of PAIRS; `unused_traits` no two profiles share."""

    pairs: pa.Table
    profiles: int
    unused_traits: tuple[str, ...]


def suspected_pairs(profiles: pa.Table, rules: MatchingRules, *, least_score: float) -> Matched:
    """The pairs of profiles that are one person's with at least this probability.

    `profiles` has identifier_key, unique, and the traits as text, null where unknown. Raises
    FatalOrchestrationError without splink, and where there is too little to learn from.
    """
    splink_linker()
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("profiles", profiles)
        connection.execute(f"create table prepared as {read_sql('profiles_prepared')}")
        known = _known_traits(connection)
        usable = _usable(rules, known)
        _refuse_too_few(profiles.num_rows, rules, usable)
        linker = _learned(connection, usable)
        scored = linker.inference.predict(
            threshold_match_probability=least_score, warning_mode="never"
        ).physical_name
        found = connection.execute(
            f"select least(identifier_key_l, identifier_key_r) as from_key, "
            f"greatest(identifier_key_l, identifier_key_r) as to_key, "
            f"round(match_probability, 6) as score, {_agreement(usable.comparisons)} as agreement "
            f"from {scored} order by all"
        ).to_arrow_table()
    compared = [trait for each in rules.comparisons for trait in each.traits]
    unused = tuple(trait for trait in compared if trait not in known)
    return Matched(found.cast(PAIRS), profiles.num_rows, unused)


def splink_linker() -> "type[Linker]":
    """The class that trains and scores; raises FatalOrchestrationError where splink is not installed."""
    try:
        from splink import Linker  # noqa: PLC0415 (an extra that nothing else needs)
    except ImportError as error:
        raise FatalOrchestrationError(
            "Profiles are matched by splink, which is not installed; install it with "
            "`pip install 'cdp[splink]'` and try again."
        ) from error
    return Linker


def _known_traits(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Traits with at least two values, one of them in two profiles or more: others tell nobody apart."""
    counts = ", ".join(f"count({trait}) > 1 and count(distinct {trait}) > 1" for trait in TRAITS)
    found = connection.execute(f"select {counts} from prepared").fetchone()
    return frozenset(trait for trait, is_known in zip(TRAITS, found or (), strict=True) if is_known)


def _usable(rules: MatchingRules, known: frozenset[str]) -> MatchingRules:
    """The rules without what they say about traits that these profiles do not have."""

    def of_known(given: Iterable[SameTraits]) -> tuple[SameTraits, ...]:
        return tuple(rule for rule in given if known.issuperset(rule.traits))

    comparisons = tuple(
        comparison.model_copy(
            update={
                "swapped_with": comparison.swapped_with if comparison.swapped_with in known else None,
                "trait": traits[0],
                "within": tuple(traits[1:]),
            }
        )
        for comparison in rules.comparisons
        if (traits := [trait for trait in comparison.traits if trait in known])
    )
    return rules.model_copy(
        update={
            "comparisons": comparisons,
            "blocking": of_known(rules.blocking),
            "training": of_known(rules.training),
            "known": rules.known.model_copy(update={"rules": of_known(rules.known.rules)}),
        }
    )


def _refuse_too_few(count: int, rules: MatchingRules, usable: MatchingRules) -> None:
    if count < rules.least_profiles:
        raise FatalOrchestrationError(
            f"{count:,} profiles can be matched, expected {rules.least_profiles:,} or more to learn from "
            "(`least_profiles`): load an extract with Attributes.csv, and run `cdp run`."
        )
    lacking = [
        what
        for what, found, least in (
            ("comparisons", usable.comparisons, 2),
            ("blocking", usable.blocking, 1),
            ("training", usable.training, 1),
            ("known", usable.known.rules, 1),
        )
        if len(found) < least
    ]
    if lacking:
        traits = {trait for comparison in usable.comparisons for trait in comparison.traits}
        missing = [trait for each in rules.comparisons for trait in each.traits if trait not in traits]
        raise FatalOrchestrationError(
            f"The {count:,} profiles have no two values of {', '.join(missing)}, so nothing is left of the "
            f"rules under {', '.join(lacking)}. Say in ingestion/sources/sfmc_attributes.yml which columns "
            "these are, or give rules about other traits."
        )


def _learned(connection: duckdb.DuckDBPyConnection, rules: MatchingRules) -> "Linker":
    """A model that has learned from the profiles, and takes nothing for impossible that it has not seen."""
    from splink import DuckDBAPI  # noqa: PLC0415 (see splink_linker)

    # what it says while it works is about its own parameters
    logging.getLogger("splink").setLevel(logging.CRITICAL)
    database = DuckDBAPI(connection)
    for most_rounds in MOST_ROUNDS:
        try:
            model = _trained(database, connection, rules, most_rounds).misc.save_model_to_json()
            break
        except ValueError:
            # so few pairs that what one of them does not show comes out as impossible
            continue
    else:
        raise FatalOrchestrationError(
            "The profiles are too few or too alike to learn from; load more of them, or give other rules "
            "under `training`."
        )
    for comparison in model["comparisons"]:
        _allow_the_unseen(comparison["comparison_levels"])
    return splink_linker()(database.register("prepared"), model, log_level=None)


def _allow_the_unseen(levels: list[dict[str, Any]]) -> None:
    """Give every level at least the chances of something that a few hundred pairs may not show."""
    told = [level for level in levels if not level.get("is_null_level")]
    for name, least in (("m_probability", LEAST_OF_ONE_PERSON), ("u_probability", LEAST_BY_CHANCE)):
        if any(name in level for level in told):
            chances = [max(float(level.get(name, 0)), least) for level in told]
            for level, chance in zip(told, chances, strict=True):
                level[name] = chance / sum(chances)


def _trained(
    database: "DuckDBAPI", connection: duckdb.DuckDBPyConnection, rules: MatchingRules, most_rounds: int
) -> "Linker":
    from splink import SettingsCreator  # noqa: PLC0415 (see splink_linker)
    from splink.blocking_rule_library import CustomRule  # noqa: PLC0415
    from splink.internals.exceptions import EMTrainingException  # noqa: PLC0415

    linker = splink_linker()(
        database.register("prepared"),
        SettingsCreator(
            link_type="dedupe_only",
            unique_id_column_name="identifier_key",
            probability_two_random_records_match=_prior(connection, rules),
            comparisons=[_comparison(comparison) for comparison in rules.comparisons],
            blocking_rules_to_generate_predictions=[CustomRule(_same(rule)) for rule in rules.blocking],
            retain_intermediate_calculation_columns=True,
            max_iterations=most_rounds,
        ),
        log_level=None,
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=MOST_CHANCE_PAIRS, seed=SEED)
    learned = 0
    for rule in rules.training:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(CustomRule(_same(rule)))
            learned += 1
        except EMTrainingException:
            # no two profiles agree in these traits: there is nothing to learn from
            continue
    if not learned:
        raise FatalOrchestrationError(
            "No two profiles agree in the traits of any rule under `training`, so nothing can be learned; "
            "give a rule about traits in which profiles agree."
        )
    return linker


def _prior(connection: duckdb.DuckDBPyConnection, rules: MatchingRules) -> float:
    """The share of all pairs that are one person's: those known to be, made up for those not known."""
    pairs = " union ".join(
        "select l.identifier_key as from_key, r.identifier_key as to_key from prepared as l "
        f"inner join prepared as r on {_same(rule)} and l.identifier_key < r.identifier_key"
        for rule in rules.known.rules
    )
    found = connection.execute(
        f"select (select count(*) from ({pairs})), (select count(*) from prepared)"
    ).fetchone()
    known, count = found or (0, 2)
    return float(min(0.5, max(1, known) / rules.known.share / (count * (count - 1) / 2)))


def _same(rule: SameTraits) -> str:
    """The rule as a condition on two rows, l and r."""
    return " and ".join(
        f"left(l.{trait}, {rule.start}) = left(r.{trait}, {rule.start})"
        if rule.start
        else f"l.{trait} = r.{trait}"
        for trait in rule.traits
    )


def _similar(trait: str, least: float) -> str:
    return f"jaro_winkler_similarity({trait}_l, {trait}_r) >= {least}"


def _name(comparison: Comparison) -> Sequence[Level]:
    trait, other = comparison.trait, comparison.swapped_with
    swapped: list[Level] = [("swapped", f"{trait}_l = {other}_r or {trait}_r = {other}_l")] if other else []
    initial = f"left({trait}_l, 1) = left({trait}_r, 1) and least(length({trait}_l), length({trait}_r)) = 1"
    return [
        ("same", f"{trait}_l = {trait}_r"),
        *swapped,
        ("initial", initial),
        ("similar", _similar(trait, 0.92)),
        ("alike", _similar(trait, 0.8)),
    ]


def _date(comparison: Comparison) -> Sequence[Level]:
    trait = comparison.trait
    swapped = " and ".join(
        f"substr({trait}_l, {one}, {length}) = substr({trait}_r, {other}, {length})"
        for one, other, length in ((1, 1, 4), (6, 9, 2), (9, 6, 2))
    )
    return [
        ("same", f"{trait}_l = {trait}_r"),
        ("day and month swapped", swapped),
        ("a digit mistyped", f"damerau_levenshtein({trait}_l, {trait}_r) <= 1"),
        ("two digits mistyped", f"damerau_levenshtein({trait}_l, {trait}_r) <= 2"),
    ]


def _home(comparison: Comparison) -> Sequence[Level]:
    """The street within its code and city, as one: who has moved differs in one thing, not in three."""
    same = {trait: f"{trait}_l = {trait}_r" for trait in comparison.traits}
    similar = {
        "street": _similar("street", 0.9),
        "postal_code": "damerau_levenshtein(postal_code_l, postal_code_r) <= 1",
        "city": _similar("city", 0.9),
    }
    around = [trait for trait in ("postal_code", "city") if trait in same]
    levels: list[Level] = []
    if "street" in same and around:
        levels.append(("same", f"{same['street']} and ({' or '.join(same[trait] for trait in around)})"))
        near = " or ".join(similar[trait] for trait in around)
        levels.append(("similar", f"{similar['street']} and ({near})"))
    if "street" in same:
        levels.append(("same street", same["street"]))
    if len(around) == len(same) == 1:
        levels.append(("same", same[around[0]]))
        return [*levels, ("similar", similar[around[0]])]
    levels += [(f"same {trait}", same[trait]) for trait in around]
    return levels


def _text(comparison: Comparison) -> Sequence[Level]:
    trait = comparison.trait
    return [("same", f"{trait}_l = {trait}_r"), ("similar", _similar(trait, 0.9))]


def _email(comparison: Comparison) -> Sequence[Level]:
    trait = comparison.trait
    local = f"split_part({trait}_l, '@', 1) = split_part({trait}_r, '@', 1)"
    return [
        ("same", f"{trait}_l = {trait}_r"),
        ("same before the @", local),
        # no looser: addresses are made of names, which are compared already
        (
            "mistyped",
            f"abs(length({trait}_l) - length({trait}_r)) <= 2 "
            f"and damerau_levenshtein({trait}_l, {trait}_r) <= 2",
        ),
    ]


def _exact(comparison: Comparison) -> Sequence[Level]:
    return [("same", f"{comparison.trait}_l = {comparison.trait}_r")]


_LEVELS: dict[str, Callable[[Comparison], Sequence[Level]]] = {
    "name": _name,
    "date": _date,
    "home": _home,
    "text": _text,
    "email": _email,
    "exact": _exact,
}
# Two who share a rare value are one person more often than two who share a common one.
_BY_FREQUENCY = ("name", "text", "email")


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """A comparison as splink takes it: the levels from the surest to none."""
    sides = (f"coalesce({', '.join(f'{trait}_{side}' for trait in comparison.traits)})" for side in "lr")
    levels: list[dict[str, Any]] = [
        {
            "sql_condition": " or ".join(f"{side} is null" for side in sides),
            "label_for_charts": "unknown",
            "is_null_level": True,
        }
    ]
    levels += [
        {"sql_condition": condition, "label_for_charts": label}
        for label, condition in _LEVELS[comparison.kind](comparison)
    ]
    if comparison.kind in _BY_FREQUENCY:
        levels[1]["tf_adjustment_column"] = comparison.trait
    levels.append({"sql_condition": "ELSE", "label_for_charts": "differs"})
    return {"output_column_name": comparison.name, "comparison_levels": levels}


def _agreement(comparisons: Sequence[Comparison]) -> str:
    """SQL for what agreed and what did not, trait by trait: the levels of a pair in words."""
    told = []
    for comparison in comparisons:
        labels = [label for label, _ in _LEVELS[comparison.kind](comparison)]
        whens = " ".join(
            f"when {len(labels) - place} then '{comparison.name} {label}'"
            for place, label in enumerate(labels)
        )
        told.append(f"case gamma_{comparison.name} {whens} when 0 then '{comparison.name} differs' end")
    return f"concat_ws(', ', {', '.join(told)})"
