"""Rows as the JSON that our schemas describe. Pure functions.

Knows nothing of styles or requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from fastinstruct.records import Instance
from fastinstruct.scripted_server.replies import Kind
from fastinstruct.scripted_server.truths import Row

__all__ = ["LAYOUTS", "LOOSE_LAYOUTS", "document", "dumped", "torn", "value"]

LAYOUTS: Final = ("compact", "spaced", "escaped", "indented")
LOOSE_LAYOUTS: Final = ("trailing commas", "python")
"""What strict readers refuse."""

_INDENTED: Final = frozenset({"indented", "trailing commas"})
_LINE_BEFORE_END: Final = re.compile(r"\n(?= *[\]}])")  # strings hold no line break of their own

_KEYS: Final = {
    Kind.INSTRUCTIONS: "tasks",
    Kind.CLASSIFICATION: "is_classification",
    Kind.INPUT_FIRST: "examples",
    Kind.OUTPUT_FIRST: "examples",
}


def document(kind: Kind, rows: Sequence[Row]) -> dict[str, object]:
    """The object that a stage's schema asks for."""
    if kind is Kind.CLASSIFICATION:
        return {_KEYS[kind]: rows[0]}
    return {_KEYS[kind]: [value(kind, row) for row in rows]}


def value(kind: Kind, row: Row) -> object:
    """One row as JSON; labels stand before what carries them."""
    if not isinstance(row, Instance):
        return row
    if kind is Kind.OUTPUT_FIRST:
        return {"output": row.output, "input": row.input}
    return {"input": row.input, "output": row.output}


def dumped(found: object, layout: str = LAYOUTS[0]) -> str:
    """The text of a document in one of the layouts."""
    if layout == "compact":
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    if layout == "python":
        return repr(found)
    text = json.dumps(found, ensure_ascii=layout == "escaped", indent=2 if layout in _INDENTED else None)
    return _LINE_BEFORE_END.sub(",\n", text) if layout == "trailing commas" else text


def torn(text: str, kind: Kind, last: Row) -> str:
    """A document's text cut off within the last field of its last row."""
    field = (last.input if kind is Kind.OUTPUT_FIRST else last.output) if isinstance(last, Instance) else str(last)
    return text[: text.rindex('"') - max(1, len(field) // 2)]
