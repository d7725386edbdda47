"""`cdp identity`: why two identifiers are one person, the whole graph, other rules tried, and decisions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ingestion.event_log import EventLog
from orchestration.commands.explain import normalise, section
from orchestration.context import Context, context_of, echo_json
from orchestration.errors import FatalOrchestrationError
from orchestration.identity.audit import audit_identity
from orchestration.identity.decisions import Decision, decision_record
from orchestration.identity.difference import build_trial, compare
from orchestration.identity.explanation import explain_identity, find_identifier, name_of
from orchestration.identity.picture import draw_person
from orchestration.identity.rules import RULES_FILE, read_rules
from orchestration.sql_files import rows

identity_app = typer.Typer(
    help="Look at who is one person and why, try other rules, and decide what the rules leave open.",
    no_args_is_help=True,
)
review_app = typer.Typer(
    help="Links that a rule is against, held until a person decides.", no_args_is_help=True
)
identity_app.add_typer(review_app, name="review")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only the plan is shown.")]
Reason = Annotated[str, typer.Option(help="Why; others will read it later.")]
One = Annotated[str, typer.Argument(help="An identifier as TYPE:VALUE, e.g. email:a@example.com.")]
Other = Annotated[str, typer.Argument(help="Another identifier as TYPE:VALUE.")]
TAKES_EFFECT = "The decision is in the event log; it counts from the next `cdp run`."


def register(app: typer.Typer) -> None:
    """Mount these commands."""
    app.add_typer(identity_app, name="identity")


@identity_app.command()
def check(
    ctx: typer.Context,
    rules: Annotated[Path | None, typer.Option(help="A file of rules; default: the project's.")] = None,
) -> None:
    """Say whether a file of identity rules is sound, and by key what is wrong with it."""
    path = rules or context_of(ctx).settings.dbt_project_dir / RULES_FILE
    found = read_rules(path)
    typer.echo(
        f"{path.name} is sound: {len(found['identifier_types'])} identifier types, "
        f"{len(found.get('blocked_values', []))} rules for blocked values."
    )


@identity_app.command()
def explain(
    ctx: typer.Context,
    one: Annotated[str | None, typer.Argument(help="An identifier as TYPE:VALUE.")] = None,
    other: Annotated[
        str | None, typer.Argument(help="Another identifier; default: all of the person.")
    ] = None,
    *,
    email: Annotated[str | None, typer.Option(help="Instead of TYPE:VALUE: an e-mail address.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw the person's graph into this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell why two identifiers are one person, by the surest way of evidence, or why they are not."""
    given = [value for value in (one, other) if value]
    if email:
        given.insert(0, f"email:{email}")
    if not 0 < len(given) <= 2:
        raise FatalOrchestrationError(
            "Name one or two identifiers, as TYPE:VALUE or with --email, e.g. "
            "`cdp identity explain email:a@example.com user_id:7`."
        )
    context = context_of(ctx)
    with context.snapshot() as connection:
        identifiers = [find_identifier(connection, *_parsed(context, text)) for text in given]
        told = explain_identity(connection, identifiers[0], identifiers[1] if len(given) > 1 else None)
    if svg is not None and "nodes" in told:
        _draw(told, svg)
    if as_json:
        echo_json(told)
    else:
        _print_explanation(told)
        if svg is not None and "nodes" in told:
            typer.echo(f"\nThe picture is {svg}.")
    if told["verdict"] != "one person":
        raise typer.Exit(1)


@identity_app.command()
def audit(
    ctx: typer.Context,
    most: Annotated[int, typer.Option(min=1, help="How many people and builds to list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the whole graph: sizes, shared and refused identifiers, held links, changes build by build."""
    with context_of(ctx).snapshot() as connection:
        told = audit_identity(connection, most=most)
    if as_json:
        echo_json(told)
        return
    totals = told["totals"]
    typer.echo(
        f"{totals['people']:,} people of {totals['identifiers']:,} identifiers; "
        f"{totals['shared_identifiers']:,} shared identifiers belong to nobody"
    )
    typer.echo(_build_told(told["build"]))
    section("People by number of identifiers", told["sizes"], "{identifiers:>10}  {people:>8,}")
    section(
        "Largest people",
        told["largest"],
        "{canonical_id}  {identifier_count:>4} identifiers ({types}), {first_seen_at} to {last_seen_at}",
    )
    section(
        "Shared, by limit",
        told["shared"],
        "{identifiers:>6,} {identifier_type} seen with more than {most} {seen_with_type} "
        "(up to {seen_with_at_most})",
    )
    section("No identifiers", told["refused"], "{raw_values:>6,} {identifier_type}: {refused_because}")
    section("Held for review", told["held"], "{links:>6,} {tier} links: {reason}, since {first_seen_at}")
    section(
        "Changes, newest build first",
        told["changes"],
        "{changed_at}  {new_people:,} new people, {joins:,} joins, {merges:,} merges, {splits:,} splits, "
        "{leaves:,} left, {holds:,} held, {releases:,} released",
    )


def _build_told(build: dict[str, Any]) -> str:
    """The last build in one sentence."""
    how = (
        f"in full: {build['is_full_because']}"
        if build["is_full"]
        else f"by what changed: {build['identifiers_touched']:,} identifiers touched, "
        f"{build['identifiers_resolved_again']:,} resolved again"
    )
    not_whole = "" if build["is_whole"] else "; it did not end, so the next one is in full"
    return f"Last built as of {build['as_of']}, {how}{not_whole}"


@identity_app.command()
def diff(
    ctx: typer.Context,
    rules: Annotated[Path, typer.Option(help="The other version of identity_rules.yml.")],
    most: Annotated[int, typer.Option(min=0, help="How many merges and splits to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Say what other rules would change: people merged and split, audience members who come and leave."""
    context = context_of(ctx)
    new = read_rules(rules)
    with context.snapshot():
        pass  # says so when no run has published one
    context.console.print("Building the models by these rules in a copy of the snapshot …")
    trial = build_trial(context.settings, new, as_of=context.deployment.as_of())
    told = compare(trial, most=most)
    if as_json:
        echo_json(told)
        return
    people = told["people"]
    typer.echo(f"{people['people_now']:,} people now, {people['people_then']:,} by {rules.name}")
    typer.echo(f"{people['merges']:>8,}  merges, of {people['people_merged']:,} people")
    typer.echo(f"{people['splits']:>8,}  people split")
    typer.echo(f"{people['identifiers_that_join']:>8,}  identifiers of nobody would be somebody's")
    typer.echo(f"{people['identifiers_that_leave']:>8,}  identifiers would be nobody's")
    section("Samples", told["samples"], "{kind}  {sides}")
    section(
        "Audience members, by address",
        told["audiences"],
        "{audience_name:<24} {channel:<6} {members_now:>8,} now, {members_then:>8,} then: "
        "{come:,} come, {leave:,} leave",
    )
    typer.echo(f"\n{told['members_affected']:,} memberships would change. Nothing was changed.")


@review_app.command("list")
def review_list(
    ctx: typer.Context,
    as_json: AsJson = False,
    most: Annotated[int, typer.Option(min=0, help="Links to print at most; 0 prints all.")] = 50,
) -> None:
    """List the held links with the rule that is against each, and the evidence for it."""
    with context_of(ctx).snapshot() as connection:
        found = rows(connection, "identity_held", {"link": None, "one": None, "other": None})
    if as_json:
        echo_json(found)
        return
    for row in found[: most or None]:
        typer.echo(_held_line(row))
    if most and len(found) > most:
        typer.echo(f"… and {len(found) - most:,} more; --most 0 prints all.")
    typer.echo(f"{len(found):,} links are held.")


@review_app.command("accept")
def review_accept(
    ctx: typer.Context,
    link: Annotated[str, typer.Argument(help="The link, as `cdp identity review list` shows it.")],
    reason: Reason,
    yes: Yes = False,
) -> None:
    """Decide that the two identifiers of a held link are one person, whatever the rules say."""
    _review(ctx, link, "join", reason, yes=yes)


@review_app.command("reject")
def review_reject(
    ctx: typer.Context,
    link: Annotated[str, typer.Argument(help="The link, as `cdp identity review list` shows it.")],
    reason: Reason,
    yes: Yes = False,
) -> None:
    """Decide that the two identifiers of a held link are two people, whatever will be seen."""
    _review(ctx, link, "keep_apart", reason, yes=yes)


@identity_app.command()
def unmerge(ctx: typer.Context, one: One, other: Other, reason: Reason, yes: Yes = False) -> None:
    """Decide that two identifiers of one person are two people's; the weakest evidence between is cut."""
    context, one_found, other_found, told = _two(ctx, one, other)
    if told["verdict"] != "one person":
        raise FatalOrchestrationError(
            f"{name_of(one_found)} and {name_of(other_found)} are not one person now; "
            "`cdp identity explain` says what they are."
        )
    typer.echo(f"Now {name_of(one_found)} and {name_of(other_found)} are one person by:")
    _print_path(told["paths"][0])
    typer.echo(
        "They would be two. Each identifier stays with the side that its surest evidence ties it to; "
        "`cdp identity explain` tells after the next run."
    )
    _decide(context, "keep_apart", one_found, other_found, reason, yes=yes)


@identity_app.command()
def join(ctx: typer.Context, one: One, other: Other, reason: Reason, yes: Yes = False) -> None:
    """Decide that two identifiers are one person, whatever the rules say."""
    context, one_found, other_found, told = _two(ctx, one, other)
    names = f"{name_of(one_found)} and {name_of(other_found)}"
    typer.echo(f"Now {names} are {told['verdict']}; they would be one person.")
    _decide(context, "join", one_found, other_found, reason, yes=yes)


@identity_app.command()
def withdraw(ctx: typer.Context, one: One, other: Other, reason: Reason, yes: Yes = False) -> None:
    """Take back what was decided about two identifiers; the evidence and the rules decide again."""
    context = context_of(ctx)
    with context.snapshot() as connection:
        found = [find_identifier(connection, *_parsed(context, text)) for text in (one, other)]
        keys = sorted(str(each["identifier_key"]) for each in found)
        standing = rows(connection, "identity_decision", {"from_key": keys[0], "to_key": keys[1]})
    if not standing:
        raise FatalOrchestrationError(
            f"Nothing that the last run read was decided about {name_of(found[0])} and {name_of(found[1])}."
        )
    typer.echo("{decision} by {decided_by} on {decided_at}: {reason}".format(**standing[0]))
    typer.echo("This decision would no longer count.")
    _decide(context, "withdraw", found[0], found[1], reason, yes=yes)


def _review(ctx: typer.Context, link: str, decision: Decision, reason: str, *, yes: bool) -> None:
    context = context_of(ctx)
    with context.snapshot() as connection:
        held = rows(connection, "identity_held", {"link": link, "one": None, "other": None})
        if not held:
            raise FatalOrchestrationError(
                f"No link {link!r} is held; copy one from `cdp identity review list`."
            )
        ends = [
            find_identifier(connection, held[0][f"{end}_type"], held[0][f"{end}_value"])
            for end in ("from", "to")
        ]
    typer.echo(_held_line(held[0]))
    _decide(context, decision, ends[0], ends[1], reason, yes=yes)


def _decide(
    context: Context,
    decision: Decision,
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    reason: str,
    *,
    yes: bool,
) -> None:
    record = decision_record(
        decision,
        one,
        other,
        reason=reason,
        decided_by=context.settings.operator,
        at=context.deployment.business_now(),
    )
    if not yes:
        typer.echo("Nothing was changed; say --yes to do it.")
        return
    EventLog(context.settings.event_log_dir).append([record])
    typer.echo(f"{decision}: {name_of(one)} and {name_of(other)}. {TAKES_EFFECT}")


def _two(
    ctx: typer.Context, one: str, other: str
) -> tuple[Context, dict[str, Any], dict[str, Any], dict[str, Any]]:
    context = context_of(ctx)
    with context.snapshot() as connection:
        found = [find_identifier(connection, *_parsed(context, text)) for text in (one, other)]
        if found[0]["identifier_key"] == found[1]["identifier_key"]:
            raise FatalOrchestrationError(f"{one} and {other} are the same identifier; name two.")
        return context, found[0], found[1], explain_identity(connection, found[0], found[1])


def _parsed(context: Context, text: str) -> tuple[str, str]:
    """TYPE:VALUE as type and normalised value."""
    types = read_rules(context.settings.dbt_project_dir / RULES_FILE)["identifier_types"]
    identifier_type, colon, value = text.partition(":")
    if not colon or identifier_type not in types:
        raise FatalOrchestrationError(
            f"{text!r} is not an identifier; expected TYPE:VALUE with TYPE one of {', '.join(types)}."
        )
    return identifier_type, normalise(identifier_type, value)


def _draw(told: Mapping[str, Any], path: Path) -> None:
    steps = told["paths"][0]["steps"] if "other" in told and told["verdict"] == "one person" else []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        draw_person(
            f"{name_of(told['one'])}: person {told['canonical_id']}",
            [*told["nodes"], *told.get("other_nodes", ())],
            [*told["edges"], *told.get("other_edges", ()), *told.get("held", ())],
            start=str(told["one"]["identifier_key"]),
            path=steps,
        ),
        encoding="utf-8",
    )


def _print_explanation(told: Mapping[str, Any]) -> None:
    typer.echo(f"{name_of(told['one'])}: {told['verdict']}")
    if told["verdict"] == "nobody":
        typer.echo(f"  {told['because']}")
        return
    typer.echo(f"person {told['canonical_id']} of {len(told['nodes'])} identifiers")
    if told["verdict"] == "two people":
        other = told["other"]
        typer.echo(f"{name_of(other)}: person {other['canonical_id']}")
        typer.echo("\nHeld links between them")
        for row in told["held"]:
            typer.echo("  " + _held_line(row))
        if not told["held"]:
            typer.echo("  none: no record ties one to the other")
        section(
            "Shared identifiers that both were seen with",
            told["shared"],
            "{identifier_type} {identifier_value}: seen with {seen_count} of type {seen_with_type}, "
            "at most {most} allowed",
        )
        return
    for path in told["paths"]:
        typer.echo(f"\n{path['to']} ({path['tier']})")
        _print_path(path)


def _print_path(path: Mapping[str, Any]) -> None:
    for step in path["steps"]:
        typer.echo(
            f"  {step['from']} = {step['to']}: {step['tier']}, {step['source_system']}, "
            f"{step['observation_count']} times, first {step['first_seen_at']}, e.g. {step['evidence_id']}"
        )


def _held_line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['identity_link_id']}  {row['reason']}: {row['from_type']} {row['from_value']} "
        f"(person of {row['from_identifier_count']}) and {row['to_type']} {row['to_value']} "
        f"(person of {row['to_identifier_count']}), {_behind(row)}"
    )


def _behind(row: Mapping[str, Any]) -> str:
    """The evidence for a link: what agreed and how probable that makes it, or the records that were seen."""
    if row["reason"] == "suspected":
        return f"score {row['score']:.4f}, since {row['first_seen_at']}: {row['evidence_id']}"
    return (
        f"{row['tier']}, {row['source_system']}, {row['observation_count']} times, "
        f"first {row['first_seen_at']}, e.g. {row['evidence_id']}"
    )
