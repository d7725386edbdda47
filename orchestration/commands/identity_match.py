"""`cdp identity match`: legacy profiles that may be one person's, for review."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.commands.identity import AsJson, identity_app
from orchestration.context import context_of, echo_json
from orchestration.identity.matching import splink_linker, suspected_pairs
from orchestration.identity.matching_rules import MATCHING_RULES_FILE, read_matching_rules
from orchestration.identity.suspicions import count_of_two_people, read_profiles, replace_suspicions


def register(_: typer.Typer) -> None:
    """Mount the command on `cdp identity`."""
    identity_app.command()(match)


def match(
    ctx: typer.Context,
    least_score: Annotated[
        float | None,
        typer.Option(min=0.5, max=0.999999, help="How probable a pair must be; default: the rules'."),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="The file that says what is compared; default: the project's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Suspect legacy profiles of being one person, spelled differently: by names, homes, dates of birth.

    The profiles of the last run are compared by a model that learns from them (splink; install it with
    `pip install 'cdp[splink]'`), and the pairs replace those of the last match. Nobody is merged and nobody's
    consent, contact points or audiences change: from the next `cdp run` on, `cdp identity review list` shows
    the pairs with their score until a person accepts or rejects each, and the mart suspected_people counts
    them as one for analytics.
    """
    context = context_of(ctx)
    splink_linker()
    declared = read_matching_rules(rules or MATCHING_RULES_FILE)
    least = declared.least_score if least_score is None else least_score
    with context.snapshot() as snapshot:
        profiles = read_profiles(snapshot)
        context.console.print(f"Comparing {profiles.num_rows:,} profiles …")
        matched = suspected_pairs(profiles, declared, least_score=least)
        of_two = count_of_two_people(snapshot, matched.pairs)
    with context.locked_warehouse("cdp identity match") as connection:
        suspected = replace_suspicions(
            connection, matched.pairs, rules_hash=declared.rules_hash, at=context.business_now()
        )
    told = {
        "profiles": matched.profiles,
        "least_score": least,
        "unused_traits": list(matched.unused_traits),
        **suspected.as_json(),
        "pairs_of_two_people": of_two,
        "rules_hash": declared.rules_hash,
    }
    if as_json:
        echo_json(told)
        return
    typer.echo(
        f"{matched.profiles:,} profiles, {suspected.pairs:,} pairs suspected with {least:g} or more: "
        f"{suspected.new_pairs:,} new, {suspected.pairs - suspected.new_pairs:,} known before; "
        f"{suspected.gone_pairs:,} are suspected no longer."
    )
    typer.echo(f"{of_two:,} of them are two people now, the others are one person already.")
    if matched.unused_traits:
        typer.echo(
            f"Not compared, because the profiles do not have them: {', '.join(matched.unused_traits)}."
        )
    typer.echo("They count from the next `cdp run`; then `cdp identity review list` shows them.")
