"""`cdp contracts`: what events must look like."""

from dataclasses import asdict
from typing import Annotated

import typer

from ingestion.commands import contract_views
from ingestion.commands.context import IngestionContext, Json, print_json
from ingestion.contract_check import ContractChange, check_contracts
from ingestion.errors import RejectedInputError
from ingestion.field_readers import FieldReader, reader_lines
from ingestion.registry import Registry
from ingestion.released_contracts import compared_contracts


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp contracts`."""
    app = typer.Typer(help="What events must look like.", no_args_is_help=True)

    @app.command("check")
    def check(
        against: Annotated[
            str | None,
            typer.Option(help="The commit whose contracts are released; default: the main branch, in git."),
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Read every contract and source, and judge every change of a contract by its version.

        Exit code 1 when a version's step is too small, a major one lacks its owner's approval, or what was
        published was edited or removed.
        """
        registry = context.registry()
        released, compared = compared_contracts(registry.contracts_folder, against)
        changes = check_contracts(registry.files, released)
        readers = {
            change.place: context.find_readers(change.contract, _broken_fields(change))
            for change in changes
            if change.is_new and change.needed == "major"
        }
        wrong = sum(len(change.problems) for change in changes)
        if as_json:
            print_json(
                {
                    "contracts": len(registry.files),
                    "versions": sum(len(file.versions) for file in registry.files),
                    "sources": len(registry.sources),
                    "compared": compared,
                    "problems": wrong,
                    "changes": [
                        {
                            **asdict(change),
                            "readers": [asdict(each) for each in readers.get(change.place, ())],
                        }
                        for change in changes
                        if change.is_new
                    ],
                }
            )
        else:
            _print_changes([change for change in changes if change.is_new or change.problems], readers)
            found = "can be read" if wrong else "are sound"
            typer.echo(
                f"{len(registry.files)} contracts and {len(registry.sources)} sources {found}; {compared}."
            )
        if wrong:
            what = "1 change of a contract" if wrong == 1 else f"{wrong} changes of contracts"
            state = "as it is" if wrong == 1 else "as they are"
            raise RejectedInputError(f"{what} cannot be released {state}; see above what to do.")

    @app.command("impact")
    def impact(
        event: Annotated[str, typer.Argument(help="The contract's name.")],
        field: Annotated[
            str, typer.Argument(help="A property, such as total or items.sku; default: all of them.")
        ] = "",
        as_json: Json = False,
    ) -> None:
        """What a change of a field would reach: the models, audiences and syncs that read it."""
        path = field.removeprefix("properties.")
        _refuse_unknown_field(context.registry(), event, path)
        readers = context.find_readers(event, frozenset([path] if path else []))
        if as_json:
            print_json([asdict(reader) for reader in readers])
            return
        for line in reader_lines(readers) or [f"Nothing reads {path or event}."]:
            typer.echo(line)

    @app.command("list")
    def list_contracts(as_json: Json = False) -> None:
        """Every contract with its version, status, owner, and the calls that it is for."""
        registry = context.registry()
        calls: dict[tuple[str, str], list[str]] = {}
        for (source, call, event), contract in registry.calls.items():
            place = calls.setdefault((contract.name, contract.version), [])
            place.append(f"{source}: {call} {event}" if event else f"{source}: {call}")
        rows = [
            {
                "contract": contract.name,
                "version": contract.version,
                "status": contract.status,
                "owner": contract.owner.team,
                "description": contract.description.strip(),
                "calls": calls.get((contract.name, contract.version), []),
            }
            for file in registry.files
            for contract in file.contracts()
        ]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            typer.echo(
                f"{row['contract']:<20} {row['version']:<8} {row['status']:<10} {row['owner']:<20} "
                + "; ".join(calls.get((str(row["contract"]), str(row["version"])), ["no source"]))
            )

    contract_views.add_to(app, context)
    return app


def _refuse_unknown_field(registry: Registry, event: str, path: str) -> None:
    files = {file.name: file for file in registry.files}
    if event not in files:
        raise RejectedInputError(f"There is no contract {event!r}; known are {', '.join(sorted(files))}.")
    known = sorted({path for contract in files[event].contracts() for path in contract.pii})
    if path and path not in known:
        raise RejectedInputError(f"{event} has no field {path!r}; it has {', '.join(known)}.")


def _broken_fields(change: ContractChange) -> frozenset[str]:
    """The properties that a breaking change is about; none when it is about the event as a whole."""
    paths = {each.path for each in change.differences if each.step == "major"}
    inside = {path.removeprefix("properties.") for path in paths if path not in ("", "properties")}
    return frozenset(inside if len(inside) == len(paths) else ())


def _print_changes(
    changes: list[ContractChange], readers: dict[tuple[str, str], tuple[FieldReader, ...]]
) -> None:
    for change in changes:
        compared = "as released" if change.step is None else f"after {change.compared_with}"
        said = f"a {change.step} step, " if change.step else ""
        typer.echo(f"{change.contract} {change.version}, {compared}: {said}needs {change.needed}")
        for each in change.differences:
            typer.echo(f"  {each.step:<6} {each.path or '(the event)':<24} {each.rule}")
        if change.place in readers:
            typer.echo("  what it reaches here:")
            for line in reader_lines(readers[change.place]) or ["nothing reads it"]:
                typer.echo(f"    {line}")
        for problem, advice in change.problems.items():
            typer.echo(f"  {problem}: {advice}")
