"""Stanford Alpaca's format, which nearly every trainer reads: `instruction, input, output`, and our `id`.

Knows nothing of files. The file is one JSON array, as Alpaca's; a path that ends with `.jsonl` gets a row a line.
"""

from __future__ import annotations

from typing import Any

from fastinstruct.exports.single_file import SingleFile
from fastinstruct.records import Example

__all__ = ["ALPACA"]


def _row(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "instruction": example.instruction,
        "input": example.input,
        "output": example.output,
    }


ALPACA = SingleFile(
    name="alpaca",
    description="id, instruction, input, output: one JSON array, as Stanford Alpaca's; JSON Lines if it ends in .jsonl",
    default_name="alpaca.json",
    row=_row,
)
