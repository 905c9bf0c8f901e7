"""Every key of a configuration as tables, from the schema; `make docs` writes them into docs/configuration.md.

Types, bounds and defaults are the schema's. What a key means is told once: in the commented file that
`fastinstruct init` writes or, for the keys of a list's items, in the schema.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fastinstruct.config import RunConfig

__all__ = ["PAGE", "Row", "main", "rows", "tables", "with_tables"]

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "configuration.md"
TEMPLATE = REPOSITORY / "fastinstruct" / "cli" / "config_template.yaml"

_PLACE = re.compile(r"(<!-- keys: [^>]*-->\n).*?(<!-- /keys -->)", re.DOTALL)
_LINE = re.compile(r"( *)(?:# )?([a-z_]+):(.*?)(?:  # (.*))?")
_RANGE = r"-?\d+ to \d+|-?\d+ or more(?:, below 1)?|at least \d+|above 0"
_RESTATED = re.compile(rf"^(?:{_RANGE})(?:; )|,? (?:{_RANGE})(?=;|$)")  # the type says it
_CODE = re.compile(
    r"`[^`]*`|\$\w+|\$\{\w+\}|[-\w./]*\*[-\w./]*|\[(?:[^\[\]]|\[[^\]]*\])*\]|\{(?:[^{}]|\{[^}]*\})*\}|https?://[^\s,;]+"
)
_PLAIN = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}
_ALONE = "the run"


class Row(NamedTuple):
    """One key: its dotted path, and what the page says of it."""

    key: str
    type: str
    default: str
    meaning: str


def rows() -> list[Row]:
    """Return every key of the schema in its order, the keys of list items too."""
    meanings = _meanings(TEMPLATE.read_text(encoding="utf-8"))
    return list(_rows(RunConfig, "", meanings))


def tables() -> str:
    """Return the page's tables: one for each group of keys, under a heading with the group's name."""
    groups: dict[str, list[Row]] = {}
    for row in rows():
        groups.setdefault(_group(row.key), []).append(row)
    told = _meanings(TEMPLATE.read_text(encoding="utf-8"))
    return "\n\n".join(_table(name, found, told) for name, found in groups.items())


def with_tables(page: str) -> str:
    """Return the page with its tables as they are to be.

    Raises:
        SystemExit: the page has no place for them.
    """
    if not _PLACE.search(page):
        raise SystemExit(f"{PAGE}: there is no place for the tables of keys")
    return _PLACE.sub(lambda match: f"{match[1]}\n{tables()}\n\n{match[2]}", page)


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def _group(key: str) -> str:
    """The part of the configuration that a key is in: `prices` is one by itself."""
    name = key.partition(".")[0]
    annotation = RunConfig.model_fields[name].annotation
    return name if _is_part(annotation) or name == "prices" else _ALONE


def _table(name: str, found: list[Row], told: Mapping[str, str]) -> str:
    heading = "### The run itself" if name == _ALONE else f"### `{name}`"
    intros = [told[name]] if told.get(name) and name != found[0].key else []
    if any(row.key.startswith(f"{name}.sampling.") for row in found):
        intros.append(f"Where `sampling` is concerned, {told['instructions.sampling']}")  # said at the first stage only
    lines = [f"| `{row.key}` | {row.type} | {row.default} | {row.meaning} |" for row in found]
    table = "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *lines])
    return "\n\n".join([heading, *map(_sentence, intros), table])


def _rows(part: type[BaseModel], prefix: str, meanings: Mapping[str, str]) -> Iterator[Row]:
    for name, field in part.model_fields.items():
        key = prefix + name
        if _is_part(field.annotation):
            yield from _rows(field.annotation, f"{key}.", meanings)
            continue
        told = field.description or meanings[key.replace("[]", "")]
        yield Row(key, _type(field), _default(field), _marked(_RESTATED.sub("", told)))
        item = _item(field.annotation)
        if item is not None:
            yield from _rows(item, f"{key}.NAME." if get_origin(field.annotation) is dict else f"{key}[].", meanings)


def _meanings(template: str) -> dict[str, str]:
    """What the commented file says behind each key and each group, by dotted path."""
    found: dict[str, str] = {}
    parents: dict[int, str] = {}
    for line in template.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None and not line.startswith("# ----"):
            indent = len(match[1])
            path = parents.get(indent - 2, "") + match[2]
            parents[indent] = f"{path}."
            found[path] = match[4] or ""
    return found


def _is_part(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _item(annotation: Any) -> type[BaseModel] | None:
    """The part that a list or a table of parts holds."""
    if get_origin(annotation) in {tuple, dict}:
        return next((each for each in get_args(annotation) if _is_part(each)), None)
    return None


def _type(field: FieldInfo) -> str:
    bounds = {
        name: getattr(found, name)
        for found in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(found, name)
    }
    return ", ".join([_words(field.annotation), *([_bounds(bounds)] if bounds else [])])


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin in {Union, types.UnionType}:
        return " or ".join(["null" if each is type(None) else _words(each) for each in arguments])
    if origin is Literal:
        return _choice(arguments)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _choice(tuple(annotation))
    if origin is tuple:
        return f"list of {_several(arguments[0])}"
    if origin is dict:
        return f"{_several(arguments[1])} by name"
    if _is_part(annotation):
        return "a group of keys"
    raise TypeError(f"no words for the type {annotation}")


def _several(annotation: Any) -> str:
    if _is_part(annotation):
        return "groups of keys"
    return {str: "texts"}.get(annotation) or (_words(annotation) if get_origin(annotation) is Literal else "values")


def _choice(values: tuple[Any, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _bounds(bounds: Mapping[str, float]) -> str:
    shown = {name: "2^63" if bound == 2**63 else f"{bound:,.10g}" for name, bound in bounds.items()}
    if {"ge", "le"} <= shown.keys():
        return f"{shown['ge']} to {shown['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{words[name]} {bound}" for name, bound in shown.items())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(value)}`" if not isinstance(value, str) or not value else f"`{value}`"


def _sentence(intro: str) -> str:
    text = _marked(intro)
    return f"{text[0].upper()}{text[1:]}."


def _marked(text: str) -> str:
    """Mark what is to be typed as it stands as code, and let nothing end the cell."""
    return _CODE.sub(lambda match: match[0] if match[0][0] == "`" else f"`{match[0]}`", text).replace("|", "\\|")


if __name__ == "__main__":
    main()
