"""`cdp explain`: the chain behind one person, as text or JSON."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from activation.config import load_definitions
from orchestration.context import context_of, echo_json
from orchestration.errors import FatalOrchestrationError
from orchestration.explain import explain_person

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Title, key of the document, and how one entry reads.
SECTIONS = (
    (
        "Identities",
        "identities",
        "{identifier_type} {identifier_value}, seen {observation_count} times, "
        "{first_seen_at} to {last_seen_at}",
    ),
    (
        "Joined by",
        "edges",
        "{from_identifier} = {to_identifier}: {source_system}, {observation_count} times, "
        "first {first_seen_at}, e.g. {evidence_id}",
    ),
    (
        "Consent, oldest first",
        "consent_history",
        "{consent_changed_at} {channel}/{purpose} {identifier_value}: {status} by {capture_method}, "
        "{source_system} {source_record}",
    ),
    (
        "Decision per address",
        "contact_points",
        "{channel} {identifier_value}: {decision} ({rule}), country {country_code}, "
        "consent {consent_status} since {consent_changed_at}",
    ),
    ("Audiences matched", "audiences", "{audience_name} at {channel}: {standing} ({reason})"),
    (
        "Sent or tried, oldest first",
        "operations",
        "{planned_at} {sync_name} to {destination}: {operation} {state} {reason}, run {sync_run_id}, "
        "definition {definition_hash:.12}",
    ),
    ("Each sync now", "syncs", "{sync}: {wanted}; {sent}"),
)


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("explain")(explain)


def explain(
    ctx: typer.Context,
    email: Annotated[str | None, typer.Option(help="An e-mail address, in any spelling.")] = None,
    phone: Annotated[str | None, typer.Option(help="A phone number, in any spelling.")] = None,
    user_id: Annotated[str | None, typer.Option(help="A customer id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the chain behind one person: identities, consent, audiences, what was sent and why not."""
    context = context_of(ctx)
    identifier_type, raw_value = _asked_identifier(email=email, phone=phone, user_id=user_id)
    definitions = load_definitions(context.settings.project_root / "activation")
    with context.snapshot() as connection:
        told = explain_person(
            connection,
            identifier_type=identifier_type,
            identifier_value=normalise(identifier_type, raw_value),
            syncs={name: sync.source for name, sync in definitions.syncs.items()},
        )
    if as_json:
        echo_json(told)
    else:
        print_explanation(told)
    if told["canonical_id"] is None:
        raise typer.Exit(1)


def _asked_identifier(**given: str | None) -> tuple[str, str]:
    named = [(name, value) for name, value in given.items() if value]
    if len(named) != 1:
        raise FatalOrchestrationError("Name one person: exactly one of --email, --phone or --user-id.")
    return named[0]


def normalise(identifier_type: str, raw_value: str) -> str:
    """The stored spelling of what a person typed; raises when it cannot be such an identifier at all."""
    from ingestion.identifiers import normalise as normalise_identifier  # noqa: PLC0415 (brings dlt along)

    normalised = normalise_identifier(identifier_type, raw_value)
    if normalised.value is None:
        raise FatalOrchestrationError(
            f"--{identifier_type.replace('_', '-')} {raw_value!r} is {normalised.invalid_reason}; "
            "check the spelling."
        )
    return normalised.value


def print_explanation(told: dict[str, Any]) -> None:
    """The chain as text, in the order in which one thing leads to the next."""
    asked = told["asked"]
    typer.echo(f"{asked['identifier_type']} {asked['identifier_value']}: {told['found']}")
    if told["canonical_id"] is None:
        return
    profile = told["profile"] or {}
    names = " ".join(str(profile[part]) for part in ("first_name", "last_name") if profile.get(part))
    country = profile.get("country_code") or "unknown"
    typer.echo(f"person {told['canonical_id']}  {names}  country {country}")
    for title, key, form in SECTIONS:
        section(title, told[key], form)


def section(title: str, items: Iterable[dict[str, Any]], form: str) -> None:
    """A titled list; what is not known reads as a dash."""
    typer.echo(f"\n{title}")
    shown = [{name: "-" if value is None else value for name, value in item.items()} for item in items]
    for item in shown:
        typer.echo("  " + form.format(**item))
    if not shown:
        typer.echo("  none")
