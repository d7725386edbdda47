"""`cdp keys`: who may send events to the collector."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from ingestion.collector.keys import KeyFile, NewKey, WriteKey
from ingestion.commands.context import IngestionContext, Json, print_json
from ingestion.errors import RejectedInputError

KeyId = Annotated[str, typer.Argument(help="The id of the key, as `cdp keys list` shows it.")]


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp keys`."""
    app = typer.Typer(help="Write keys: who may send events to the collector.", no_args_is_help=True)

    @app.command("create")
    def create(
        source: Annotated[str, typer.Argument(help="The source that its events belong to.")],
        event: Annotated[
            list[str] | None,
            typer.Option(
                help="Limit it to this event, or call such as identify; may be given several times."
            ),
        ] = None,
        events_per_second: Annotated[
            float | None,
            typer.Option(min=0.001, help="Answer 429 above this rate, shared evenly by the workers."),
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Make a key. It is shown once: only its hash is kept."""
        names = context.registry().source_names()
        if source not in names:
            raise RejectedInputError(
                f"There is no source {source!r}; known are {', '.join(sorted(names))}. Add it to "
                "event_sources.yml or name one of them."
            )
        new = _file(context).create(source, context.now(), tuple(event or ()), events_per_second)
        _show(new, as_json=as_json)

    @app.command("rotate")
    def rotate(
        key_id: KeyId,
        grace_days: Annotated[float, typer.Option(min=0, help="How long the old one stays good.")] = 7.0,
        as_json: Json = False,
    ) -> None:
        """Make a key in place of another, which stays good for a while."""
        new = _file(context).rotate(key_id, context.now(), timedelta(days=grace_days))
        _show(new, as_json=as_json)

    @app.command("revoke")
    def revoke(key_id: KeyId, as_json: Json = False) -> None:
        """Refuse a key from now on."""
        key = _file(context).revoke(key_id, context.now())
        if as_json:
            print_json(_row(key, context.now()))
        else:
            typer.echo(f"{key.key_id} of source {key.source} is revoked; collectors follow within a second.")

    @app.command("list")
    def list_keys(as_json: Json = False) -> None:
        """Every key with its source and state; never the key itself."""
        rows = [_row(key, context.now()) for key in _file(context).read()]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            limited = f"only {', '.join(row['events'])}" if isinstance(row["events"], list) else "all events"
            rate = row["events_per_second"]
            limited += f", {rate:g} a second" if isinstance(rate, float) else ""
            typer.echo(
                f"{row['key_id']}  {row['source']:<16} {row['state']:<9} {row['created_at']}  {limited}"
            )

    return app


def _file(context: IngestionContext) -> KeyFile:
    return KeyFile(context.keys_file)


def _row(key: WriteKey, now: datetime) -> dict[str, object]:
    return {**key.model_dump(mode="json", exclude={"sha256"}), "state": key.state(now)}


def _show(new: NewKey, *, as_json: bool) -> None:
    if as_json:
        print_json({"key_id": new.key.key_id, "source": new.key.source, "write_key": new.secret})
    else:
        typer.echo(new.secret)
        typer.echo(f"This is {new.key.key_id} of source {new.key.source}; it is not shown again.", err=True)
