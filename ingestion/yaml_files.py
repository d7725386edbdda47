"""What people declare in YAML: read without guessing, and refused by file and key when wrong."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ingestion.errors import ContractError

MAX_BYTES = 1024 * 1024
Model = TypeVar("Model", bound=BaseModel)


class Declared(BaseModel):
    """What people write in YAML: no unknown keys, no change after reading, no values in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class StrictLoader(yaml.CSafeLoader):
    """Plain YAML, but a key that stands twice is an error, not a silent choice."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(None, None, "a key is not a text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_text(path: Path) -> str:
    """The text of a definition; raises ContractError when it is none, or too long to be one."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ContractError(
                f"{path.name} has {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}; "
                "a definition is written by people, so something else is in this file."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} cannot be read ({first_line(error)}); correct the file.") from error


def parse(file_name: str, text: str, model: type[Model]) -> Model:
    """A YAML text as the model that it must be; raises ContractError that names file and key."""
    try:
        found = yaml.load(text, Loader=StrictLoader)  # noqa: S506 (a safe loader that is stricter)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ContractError(
            f"{file_name} cannot be read as YAML ({first_line(error)}); correct the file."
        ) from error
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
        raise ContractError(
            f"{file_name}: key '{key}' is wrong: {first['msg']}. Correct it"
            + (f" and {error.error_count() - 1} more." if error.error_count() > 1 else ".")
        ) from error


def refuse_repeats(file_name: str, names: Iterable[object]) -> None:
    """Raise ContractError for the first name that comes twice."""
    seen: set[object] = set()
    for name in names:
        if name in seen:
            raise ContractError(f"{file_name}: {name!r} is defined twice; keep one of them.")
        seen.add(name)


def first_line(error: BaseException) -> str:
    """What went wrong, as one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark
        return error.problem + (f", line {mark.line + 1}" if mark else "")
    return str(error).splitlines()[0] if str(error) else type(error).__name__
