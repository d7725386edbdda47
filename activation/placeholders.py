"""The ledger's statements name values `?` or `:name`, as SQLite does; psycopg has `%s` and `%(name)s`."""

import re
from functools import lru_cache

# what a text or a comment holds is no value; `::` is a cast; a bare % means something to psycopg
_TOKEN = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<comment>--[^\n]*)|(?P<cast>::)|:(?P<name>[a-z_]+)|(?P<mark>\?)|(?P<percent>%)"
)


@lru_cache(maxsize=512)
def with_psycopg_placeholders(statement: str) -> bytes:
    """The same statement for psycopg; each one is translated once."""
    return _TOKEN.sub(_replaced, statement).encode()


def _replaced(found: re.Match[str]) -> str:
    if found["comment"] is not None:
        return ""
    if found["name"] is not None:
        return f"%({found['name']})s"
    if found["mark"] is not None:
        return "%s"
    return found[0].replace("%", "%%")
