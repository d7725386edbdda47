"""Reads the statements that live in activation/sql."""

from functools import cache
from importlib import resources


@cache
def read_sql(name: str) -> str:
    """The text of activation/sql/<name>.sql."""
    return resources.files("activation").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
