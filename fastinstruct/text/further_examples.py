"""Further examples inside a field: what a model writes on into a string that should hold one answer.

Knows nothing of pairs. A string of JSON has certain borders, but a model that leaves a blank line in it and goes on to
"Example 2" or to the next task has written two things into one. Takes time linear in the field's length.
"""

from __future__ import annotations

import re

from fastinstruct.text.marker_names import Kind, packaged_marker_names
from fastinstruct.text.markers import Marker, read_markers

__all__ = ["holds_another", "is_about_examples"]

_MAX_MARKED = 200  # characters: a longer line is no marker that begins an example
_APART = re.compile(r"\n[ \t]*\n")


def holds_another(field: str, instruction: str) -> bool:
    """Whether a field goes on, below a blank line, to another example or task.

    An answer that shows examples begins with the first of them; one to a task about examples or code may show any.
    """
    if _APART.search(field) is None or is_about_examples(instruction):
        return False
    apart, shown, begun = True, False, False
    for line in field.split("\n"):
        if not line.strip():
            apart = True
            continue
        for marker in read_markers(line) if len(line) < _MAX_MARKED else ():
            if begun and marker.kind in {Kind.INPUT, Kind.OUTPUT, Kind.ANSWER}:
                return True
            shown = shown or _is_first(marker)
            begun = not shown and apart and _begins(marker)
        apart = False
    return False


def _is_first(marker: Marker) -> bool:
    return marker.kind is Kind.EXAMPLE and marker.number == 1


def _begins(marker: Marker) -> bool:
    """Whether a marker may begin another example: its heading, its task or its input."""
    if marker.kind is Kind.EXAMPLE:
        return bool(marker.name) and marker.number is not None
    return marker.kind in {Kind.TASK, Kind.INPUT} and not marker.is_weak


def is_about_examples(instruction: str) -> bool:
    """Whether a task may well be answered with examples: with "Input: 3" and "Output: 9"."""
    folded = instruction.casefold()
    words = set("".join(c if c.isalnum() else " " for c in folded).split())
    names = packaged_marker_names().of(Kind.EXAMPLE, Kind.INPUT, Kind.OUTPUT)
    if any(
        (name in words or f"{name}s" in words) if name.isascii() else len(name) > 1 and name in folded for name in names
    ):
        return True
    return not words.isdisjoint(_ABOUT_EXAMPLES)


_ABOUT_EXAMPLES = frozenset(
    [
        "code",
        "function",
        "program",
        "script",
        "algorithm",
        "exercise",
        "exercises",
        "puzzle",
        "puzzles",
        "kata",
        "problem",
        "problems",
        "quiz",
        "tests",
        "demonstration",
        "demonstrations",
        "shot",
        "few",
        "prompt",
        "prompts",
        "übungsaufgabe",
        "übung",
        "exercice",
        "exercices",
        "ejercicio",
        "ejercicios",
        "exercício",
        "exercícios",
        "esercizio",
        "esercizi",
        "упражнение",
    ]
)
