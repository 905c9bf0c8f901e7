"""Stage 4: examples to prompts and completions for finetuning, in varied layouts so that a model depends on none.

Knows nothing of files. Draws only from the generator it is given, in a fixed order, so the same examples and seed give
the same data. The layouts, the draws and their order are the reference's; texts may hold any characters, braces too.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fastinstruct.records import Example

__all__ = ["END_OF_TEXT", "WITHOUT_INPUT", "WITH_INPUT", "Encoded", "Layout", "encode", "encode_all"]

END_OF_TEXT = "<|endoftext|>"
"""What ends a completion of the paper's models."""

_FIELD_NAME = re.compile(r"\b(\w++):")  # possessive: linear on long unbroken text
_STRIP_SHARE = 0.5  # of the inputs lose their only field name


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What stands before the instruction, between it and the input, after both, and before the output."""

    before: str = ""
    between: str = ""
    after: str
    lead: str = ""

    def write(self, instruction: str, given: str, output: str, end_token: str) -> tuple[str, str]:
        """The prompt and the completion."""
        return f"{self.before}{instruction}{self.between}{given}{self.after}", f"{self.lead}{output}{end_token}"


WITH_INPUT = (
    Layout(between="\nInput: ", after="\nOutput:", lead=" "),
    Layout(between="\n\nInput: ", after="\n\nOutput:", lead=" "),
    Layout(before="Task: ", between="\nInput: ", after="\nOutput:", lead=" "),
    Layout(between="\n\n", after="\n\nOutput:", lead=" "),
    Layout(between="\n\n", after="\n\n"),
    Layout(between="\n", after="\n\n"),
    Layout(before="Task: ", between="\n\n", after="\n\n"),
)
"""The seven layouts of an example with an input."""

WITHOUT_INPUT = (
    Layout(after=" Output:", lead=" "),
    Layout(after="\nOutput:", lead=" "),
    Layout(after="\n\nOutput:", lead=" "),
    Layout(after="\n"),
    Layout(after="\n\n"),
    Layout(before="Task: ", after="\n\n"),
)
"""The six layouts of an example without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A row of finetuning data."""

    prompt: str
    completion: str


def encode(
    instruction: str, given: str, output: str, rng: random.Random, end_token: str = END_OF_TEXT
) -> tuple[str, str]:
    """The prompt and the completion of one example, in a layout drawn from those that fit; outer white space goes.

    Source: arXiv:2212.10560, section 2.3; the encoding of its released code.
    """
    given = given.strip()
    layout = rng.choice(WITH_INPUT if given else WITHOUT_INPUT)
    return layout.write(instruction.strip(), given, output.strip(), end_token)


def encode_all(examples: Iterable[Example], rng: random.Random, end_token: str = END_OF_TEXT) -> list[Encoded]:
    """All examples encoded, equal rows only once, shuffled.

    Half of the inputs, drawn at random, lose their field name, if they have a single one ("Sentence: ..."), and their
    empty lines.

    Source: arXiv:2212.10560, section 2.3; the encoding of its released code.
    """
    rows: dict[Encoded, None] = {}  # a set that keeps the order
    for example in examples:
        given = _without_field_name(example.input) if rng.random() < _STRIP_SHARE else example.input
        prompt, completion = encode(example.instruction, given, example.output, rng, end_token)
        rows.setdefault(Encoded(prompt=prompt, completion=completion))
    shuffled = list(rows)
    rng.shuffle(shuffled)
    return shuffled


def _without_field_name(given: str) -> str:
    if len(set(_FIELD_NAME.findall(given))) == 1:
        given = given.split(":", 1)[1]
    return given.strip().replace("\n\n", "\n")
