"""`cdp contracts export`, `docs`, `infer` and `matrix`: contracts as others want to see them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated

import fsspec
import typer

from ingestion.commands.context import IngestionContext, Json, print_json
from ingestion.contract import Contract, Owner, version_key
from ingestion.contract_inference import draft_contract, read_samples
from ingestion.contract_pages.pages import contract_pages
from ingestion.errors import RejectedInputError
from ingestion.exports.formats import FORMATS, FormatName
from ingestion.registry import Registry

# A staging model takes the fields out of an event; everything after it reads the staging model.
NEAREST = "stg_"


@dataclass(frozen=True)
class MatrixRow:
    """What one call of a source may be, and who takes it.

    `accepts` are the versions an event may say it was written for; one that says none is judged by the last.
    `consumers` are the staging models that read the event and who agreed in its changelog to read it.
    """

    contract: str
    source: str
    call: str
    accepts: tuple[str, ...]
    newest: str
    status: str
    deprecated_on: str | None
    consumers: tuple[str, ...]


def add_to(app: typer.Typer, context: IngestionContext) -> None:
    """Add these verbs to `cdp contracts`."""

    @app.command("export")
    def export(
        events: Annotated[list[str] | None, typer.Argument(help="Contracts; default: all of them.")] = None,
        *,
        kind: Annotated[FormatName, typer.Option("--format", help="odcs, jsonschema or avro.")],
        out: Annotated[
            Path | None, typer.Option(help="Folder for one file per version; default: the newest, printed.")
        ] = None,
    ) -> None:
        """Published contracts in another format: Open Data Contract Standard, JSON Schema or Avro."""
        chosen = _chosen(context.registry(), events or [])
        form = FORMATS[kind]
        if out is None:
            newest = {contract.name: contract for contract in chosen}
            if len(newest) != 1:
                raise RejectedInputError(
                    f"{len(newest)} contracts do not fit on a terminal; name one, or give --out FOLDER."
                )
            typer.echo(form.text(next(iter(newest.values()))), nl=False)
            return
        texts = {f"{each.name}-{each.version}{form.suffix}": form.text(each) for each in chosen}
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
        typer.echo(f"{len(texts)} versions of contracts are in {out}.")

    @app.command("docs")
    def docs(
        out: Annotated[Path | None, typer.Option(help="Folder; default: contracts/ under CDP_HOME.")] = None,
    ) -> None:
        """Pages to browse in: every contract with its fields, rules, owner, senders, readers and history."""
        folder = out or context.pages_folder
        folder.mkdir(parents=True, exist_ok=True)
        count = 0
        for name, text in contract_pages(context.registry(), context.find_readers):
            (folder / name).write_text(text, encoding="utf-8")
            count += 1
        typer.echo(f"{count} pages; open {folder / 'index.html'}")

    @app.command("infer")
    def infer(
        file: Annotated[
            Path,
            typer.Argument(
                help="Sample events as JSON lines, or what `cdp events read` prints; .gz and .zst too."
            ),
        ],
        team: Annotated[str, typer.Option(help="The team that will own the contract.")],
        contact: Annotated[str, typer.Option(help="How to reach its owner.")],
        event: Annotated[str | None, typer.Option(help="Only this event, by its contract's name.")] = None,
        out: Annotated[
            Path | None, typer.Option(help="Folder for one file per event; default: printed.")
        ] = None,
    ) -> None:
        """Draft contracts from sample events, for a person to correct; a draft judges no event yet."""
        with _opened(file) as lines:
            samples = read_samples(lines)
        for number, why in samples.unread.items():
            typer.echo(f"{file.name}:{number}: {why}", err=True)
        if samples.unread_lines:
            typer.echo(f"{samples.unread_lines} lines were left out.", err=True)
        names = [event] if event else sorted(samples.events)
        owner, today = Owner(team=team, contact=contact), context.now().date()
        texts = {name: draft_contract(samples, name, owner, today) for name in names}
        if out is None and len(texts) != 1:
            raise RejectedInputError(
                f"{file.name} has {len(texts)} events ({', '.join(texts)}); name one with --event, or give "
                "--out."
            )
        for name, text in texts.items():
            if out is None:
                typer.echo(text, nl=False)
                continue
            path = out / f"{name}.yml"
            if path.exists():
                raise RejectedInputError(
                    f"{path} is there already; nothing is written over it. Choose --event."
                )
            out.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            typer.echo(f"{path}: drafted from {samples.events[name].seen} samples; search it for TODO.")

    @app.command("matrix")
    def matrix(as_json: Json = False) -> None:
        """Which versions of a contract each source may send, and who reads them."""
        rows = sorted(_rows(context), key=lambda row: (row.contract, row.source, row.call))
        if as_json:
            print_json([asdict(row) for row in rows])
            return
        for row in rows:
            typer.echo(
                f"{row.contract:<21} {row.source:<9} {row.call:<27} accepts {', '.join(row.accepts)}"
                f"{_warning(row)}; read by {', '.join(row.consumers) or 'nobody by name'}"
            )


def _opened(file: Path) -> AbstractContextManager[IO[bytes]]:
    try:
        opened: AbstractContextManager[IO[bytes]] = fsspec.open(file, "rb", compression="infer").open()
    except OSError as error:
        raise RejectedInputError(
            f"{file} cannot be read ({error.strerror or error}); give a file of JSON lines."
        ) from error
    return opened


def _rows(context: IngestionContext) -> Iterator[MatrixRow]:
    registry = context.registry()
    agreed = {
        file.name: {consumer for change in file.changelog for consumer in change.consumers}
        for file in registry.files
    }
    for source in registry.sources:
        for mapped in source.events:
            judge = registry.newest[mapped.contract, mapped.major]
            accepts = sorted(
                (each.version for each in registry.contracts if _is_same_major(each, judge)), key=version_key
            )
            models = {
                reader.name
                for reader in context.find_readers(mapped.contract, frozenset())
                if reader.how == "reads" and reader.name.startswith(NEAREST)
            }
            newest = max(
                (each.version for each in registry.contracts if each.name == judge.name), key=version_key
            )
            yield MatrixRow(
                contract=mapped.contract,
                source=source.name,
                call=" ".join(part for part in (mapped.call, mapped.event) if part),
                accepts=tuple(accepts),
                newest=newest,
                status=judge.status,
                deprecated_on=judge.deprecated_on.isoformat() if judge.deprecated_on else None,
                consumers=tuple(sorted(models) + sorted(agreed[mapped.contract])),
            )


def _is_same_major(one: Contract, other: Contract) -> bool:
    return (one.name, one.major) == (other.name, other.major)


def _warning(row: MatrixRow) -> str:
    """What the sender of a source should know."""
    gone = f" (deprecated on {row.deprecated_on})" if row.status == "deprecated" else ""
    return gone if row.newest in row.accepts else f"{gone} (behind {row.newest})"


def _chosen(registry: Registry, events: list[str]) -> list[Contract]:
    """The published versions of these contracts, or of all, in order."""
    known = sorted({contract.name for contract in registry.contracts})
    unknown = [event for event in events if event not in known]
    if unknown:
        raise RejectedInputError(
            f"There is no published contract {unknown[0]!r}; known are {', '.join(known)}."
        )
    return sorted(
        (contract for contract in registry.contracts if not events or contract.name in events),
        key=lambda contract: (contract.name, version_key(contract.version)),
    )
