"""Chat data: `messages` of a user and an assistant, as OpenAI's and TRL's trainers read them, and our `id`.

Knows nothing of files. The user says the instruction and, after an empty line, the input where there is one.
"""

from __future__ import annotations

from typing import Any

from fastinstruct.exports.single_file import SingleFile, task_text
from fastinstruct.records import Example

__all__ = ["MESSAGES"]


def _row(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "messages": [
            {"role": "user", "content": task_text(example)},
            {"role": "assistant", "content": example.output},
        ],
    }


MESSAGES = SingleFile(
    name="messages",
    description="id, messages of user and assistant: JSON Lines, for chat trainers",
    default_name="messages.jsonl",
    row=_row,
)
