"""`cdp consent`: record what a person told us, as an event; nothing else changes until the next run."""

import uuid
from typing import Annotated

import typer

from ingestion.event_log import EventLog
from ingestion.records import Record
from ingestion.registry import OPERATOR_SOURCE
from orchestration.commands.explain import normalise
from orchestration.consent import ConsentChange, consent_event, to_line
from orchestration.context import Context, context_of, echo_json
from orchestration.errors import FatalOrchestrationError, SnapshotMissingError
from orchestration.sql_files import one_row

CHANNELS = {"email": "email", "sms": "phone"}

Email = Annotated[str | None, typer.Option(help="The address, for channel email.")]
Phone = Annotated[str | None, typer.Option(help="The number, for channel sms.")]
Channel = Annotated[str | None, typer.Option(help="email or sms. Default: the one of the address.")]
Purpose = Annotated[str, typer.Option(help="What the answer is about.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the event as JSON.")]

app = typer.Typer(help="Record a consent that a person gave or withdrew.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Mount these commands."""
    root.add_typer(app, name="consent")


@app.command()
def withdraw(
    ctx: typer.Context,
    *,
    email: Email = None,
    phone: Phone = None,
    channel: Channel = None,
    purpose: Purpose = "marketing",
    as_json: AsJson = False,
) -> None:
    """Record that a person no longer wants messages at one address; the next run removes them everywhere."""
    _append(context_of(ctx), "withdrawn", email, phone, channel=channel, purpose=purpose, as_json=as_json)


@app.command()
def grant(
    ctx: typer.Context,
    *,
    email: Email = None,
    phone: Phone = None,
    channel: Channel = None,
    purpose: Purpose = "marketing",
    as_json: AsJson = False,
) -> None:
    """Record that a person agreed. This never lifts a withdrawal; only the person's own act does."""
    _append(context_of(ctx), "granted", email, phone, channel=channel, purpose=purpose, as_json=as_json)


def _append(
    context: Context,
    status: str,
    email: str | None,
    phone: str | None,
    *,
    channel: str | None,
    purpose: str,
    as_json: bool,
) -> None:
    change = _change(status, email, phone, channel=channel, purpose=purpose)
    event = consent_event(
        change,
        anchor=_anchor(context, change),
        message_id=str(uuid.uuid4()),
        occurred_at=context.deployment.business_now(),
    )
    appended = EventLog(context.settings.event_log_dir).append(
        [Record(context.deployment.business_now(), OPERATOR_SOURCE, to_line(event))]
    )
    if as_json:
        echo_json(event)
        return
    typer.echo(to_line(event).decode())
    typer.echo(
        f"Appended to {', '.join(appended.segments)}: {change.status} {change.channel}/{change.purpose} for "
        f"{change.identifier}. It takes effect with the next `cdp run`."
    )


def _change(
    status: str, email: str | None, phone: str | None, *, channel: str | None, purpose: str
) -> ConsentChange:
    if bool(email) == bool(phone):
        raise FatalOrchestrationError("Name one address: either --email or --phone.")
    identifier_type, value = ("email", email) if email else ("phone", phone)
    expected = next(name for name, kind in CHANNELS.items() if kind == identifier_type)
    if channel is not None and channel != expected:
        raise FatalOrchestrationError(
            f"--channel {channel!r} does not go with --{identifier_type}; expected {expected}."
        )
    normalise(identifier_type, value or "")
    return ConsentChange(
        status=status,
        channel=expected,
        purpose=purpose,
        identifier_type=identifier_type,
        identifier=(value or "").strip(),
    )


def _anchor(context: Context, change: ConsentChange) -> tuple[str, str] | None:
    """An identifier of the person whose address this is, as the last snapshot knows them."""
    try:
        with context.snapshot() as connection:
            found = one_row(
                connection,
                "person_anchor",
                {
                    "identifier_type": change.identifier_type,
                    "identifier_value": normalise(change.identifier_type, change.identifier),
                },
            )
    except SnapshotMissingError:
        return None
    return (found["identifier_type"], found["identifier_value"]) if found else None
