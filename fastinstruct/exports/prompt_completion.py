"""Plain `prompt, completion`, as today's trainers read them, and our `id`.

Knows nothing of files. The prompt is the instruction, an empty line, then the input and another empty line where there
is one; the completion is the output and nothing else. There is no end token: trainers add their tokenizer's own, and
the text of another model's would be learnt as text. The paper's varied layouts, with its end token, are the
reference format's `gpt3_finetuning_data_N.jsonl`.
"""

from __future__ import annotations

from typing import Any

from fastinstruct.exports.single_file import SingleFile, task_text
from fastinstruct.records import Example

__all__ = ["PROMPT_COMPLETION"]


def _row(example: Example) -> dict[str, Any]:
    return {"id": example.id, "prompt": f"{task_text(example)}\n\n", "completion": example.output}


PROMPT_COMPLETION = SingleFile(
    name="prompt-completion",
    description="id, prompt, completion: JSON Lines, plain text without end token",
    default_name="prompt-completion.jsonl",
    row=_row,
)
