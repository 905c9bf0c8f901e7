"""Lines that begin "Task:" or "Instruction:" after an output: the next task, or a line of the answer.

Knows nothing of pairs. A model that goes on to another task leaves a blank line and then gives that task's example; a
plan that lists tasks has a line of its own under each ("Owner: Ann"). Everything else may be either.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastinstruct.text.drafts import is_own_field, repeats
from fastinstruct.text.layout import FIELDS, Layout, Token
from fastinstruct.text.marker_names import Kind

__all__ = ["is_content", "next_task"]


def next_task(layout: Layout, outputs: Kind) -> tuple[Token | None, bool]:
    """Where the model went on to another task, None if nowhere, and whether nothing speaks against it."""
    has_output = False
    last_number = 0
    for place, token in enumerate(layout.tokens):
        if token.kind is Kind.TASK and has_output and token.is_apart and _goes_on(layout, place):
            later = [other.marker.number for other in layout.tokens[place:] if other.kind is Kind.EXAMPLE]
            return token, not later or later[0] is None or later[0] == 1 or later[0] <= last_number
        has_output = has_output or token.kind is outputs
        if token.kind is Kind.EXAMPLE and token.marker.number:
            last_number = token.marker.number
    return None, True


def _goes_on(layout: Layout, place: int) -> bool:
    """Whether the next marker after a task is one of its example."""
    if place + 1 == len(layout.tokens):
        return False
    following = layout.tokens[place + 1]
    previous = layout.tokens[place - 1]
    if previous.kind is Kind.EXAMPLE:  # the task again, under an example's heading
        return False
    return following.kind in FIELDS or following.kind is Kind.EXAMPLE


def is_content(layout: Layout, token: Token, tasks: Sequence[Token], end: int, instruction: str) -> bool:
    """Whether a task's line inside a field that ends before `end` is the field's own.

    `tasks` are all such lines of the field.
    """
    following = layout.lines[token.line + 1 : token.line + 2] if token.line + 1 < end else []
    if not following or not following[0].strip() or repeats(token.marker.rest, instruction):
        return False
    if token.marker.full_dress != tasks[0].marker.full_dress:
        return False
    return len(tasks) > 1 or (not token.is_apart and is_own_field(following[0]))
