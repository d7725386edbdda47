"""What the columns of an account mean that end Attributes.csv: ingestion/sources/sfmc_attributes.yml."""

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from ingestion.errors import ContractError
from ingestion.sources.sfmc_files import KINDS, FileKind, Trait
from ingestion.yaml_files import Declared, parse, read_text, refuse_repeats

ATTRIBUTES_FILE = Path(__file__).parent / "sfmc_attributes.yml"


class AttributeColumns(Declared):
    """Columns by the trait that they are read as, and columns that are not read."""

    columns: dict[str, Trait] = Field(default_factory=dict)
    not_read: tuple[str, ...] = ()

    @property
    def account_columns(self) -> tuple[tuple[str, str | None], ...]:
        """Every declared column with its trait, None for one that is not read."""
        return (*self.columns.items(), *((column, None) for column in self.not_read))


def load_attribute_columns(path: Path = ATTRIBUTES_FILE) -> AttributeColumns:
    """The declared columns; raises ContractError for a file that is wrong, with the key."""
    found = parse(path.name, read_text(path), AttributeColumns)
    refuse_repeats(path.name, [*found.columns, *found.not_read])
    refuse_repeats(path.name, found.columns.values())
    fixed = {column for kind in KINDS if kind.traits for column in kind.columns}
    for column, _ in found.account_columns:
        if column in fixed:
            raise ContractError(
                f"{path.name}: {column!r} is one of the vendor's own columns, which are read anyway; "
                "remove it."
            )
    return found


def kinds_with(declared: AttributeColumns) -> tuple[FileKind, ...]:
    """Every kind of file, those that end in columns of the account with what is declared of them."""
    return tuple(
        replace(kind, account_columns=declared.account_columns) if kind.traits else kind for kind in KINDS
    )
