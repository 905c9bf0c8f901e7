"""The ways in which models write their replies: a table of how rows are dressed.

Knows nothing of contents. Every field is a tuple of alternatives, one of which is drawn for a reply; templates take
the names that `styled` gives them: {n} and other numerals, {task}, {title}, {kind}, {level}, {input}, {output}, the
words of the language ({Task}, {Example}, {Input}, {Output}, {Label}, {colon}), and around a whole reply {body},
{draft}, {before}, {after}, {other} (another task) and {advice} (its answer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from fastinstruct.scripted_server.documents import LAYOUTS, LOOSE_LAYOUTS
from fastinstruct.scripted_server.languages import ENGLISH, LANGUAGES, Words

__all__ = ["MIXED", "STYLES", "Listing", "Pairing", "Style"]

MIXED: Final = "mixed"
"""The name that draws one of the others for each reply."""


class Listing(NamedTuple):
    """How instructions are written."""

    item: str = "{n}. {task}"
    joined: str = "\n"
    whole: str = "{body}"


class Pairing(NamedTuple):
    """How instances are written: under headings, or alone where the task needs no input, or with labels."""

    heading: str = "{Example} {n}\n"
    pair: str = "{Input}{colon}{input}\n{Output}{colon}{output}"
    alone: str = "{Output}{colon}{output}"
    labelled: str = "{Label}{colon}{output}\n{input}"
    whole: str = "{body}"


_PLAIN_LISTING: Final = Listing()
_PLAIN_PAIRING: Final = Pairing()
_BOLD: Final = Pairing(
    "**{Example} {n}**\n",
    "**{Input}{tight}** {input}\n**{Output}{tight}** {output}",
    "**{Output}{tight}** {output}",
    "**{Label}{tight}** {output}\n{input}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A way of writing; `whole` stands around the replies of every stage, `json_whole` around those that are JSON.

    `layouts`: how JSON is laid out. `is_torn`: the last row is cut off. `is_json`: the body is JSON though text was
    asked for.
    """

    listings: tuple[Listing, ...] = (_PLAIN_LISTING,)
    pairings: tuple[Pairing, ...] = (_PLAIN_PAIRING,)
    answers: tuple[str, ...] = ("{answer}", "{answer}.")
    words: tuple[Words, ...] = (ENGLISH,)
    whole: tuple[str, ...] = ("{body}",)
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    json_whole: tuple[str, ...] = ("{body}",)
    layouts: tuple[str, ...] = LAYOUTS
    is_torn: bool = False
    is_json: bool = False


def _foreign(words: Words) -> Style:
    """A language: its markers plain or bold, its labels before the numbers, its phrases around all of it."""
    return Style(
        listings=(_PLAIN_LISTING, Listing("{Task} {n}{colon}{task}"), Listing("**{Task} {n}{tight}** {task}")),
        pairings=(_PLAIN_PAIRING, _BOLD, Pairing("{Example} {n}{tight}\n")),
        answers=("{answer}",),
        words=(words,),
        whole=("{body}", "{before}\n\n{body}", "{body}\n\n{after}"),
        before=(words.before,),
        after=(words.after,),
    )


_HEADED: Final = (
    Pairing(
        "### {Example} {n}\n\n",
        "#### {Input}\n{input}\n\n#### {Output}\n{output}",
        "### {Output}\n{output}",
        "### {Label}: {output}\n{input}",
    ),
    Pairing(
        "## {Example} {n}\n",
        "### {Input}:\n{input}\n\n### {Output}:\n{output}",
        "### {Output}:\n{output}",
        "### {Label}: {output}\n\n{input}",
    ),
)
_BULLETED: Final = (
    Pairing(
        "",
        "- {Input}: {input}\n- {Output}: {output}",
        "- {Output}: {output}",
        "- {Label}: {output}\n- {Input}: {input}",
    ),
    Pairing(
        "{Example} {n}\n",
        "* **{Input}:** {input}\n* **{Output}:** {output}",
        "* **{Output}:** {output}",
        "* **{Label}:** {output}\n* **{Input}:** {input}",
    ),
)
_FENCED: Final = (
    Pairing(
        "### {Example} {n}\n\n",
        "**{Input}:**\n```\n{input}\n```\n\n**{Output}:**\n```\n{output}\n```",
        "**{Output}:**\n```\n{output}\n```",
        "**{Label}:** {output}\n```\n{input}\n```",
    ),
    Pairing(whole="```\n{body}\n```"),
)
# A name of one's own before a text ("Sentence: ...") is content, as it is in many a seed task.
_UNDER_TEXT: Final = tuple(
    _PLAIN_PAIRING._replace(heading="", labelled=above + "{input}\n{Label}: {output}") for above in ("{Input}: ", "")
)
_TITLES: Final = ("{Example} {n}: {title}\n", "### {Example} {n}: {title}\n", "{Example} {n} - {title}\n")
_SHAPES: Final = (
    *("{Example} #{n}\n", "{Example} {word}\n", "{Example} {n} ({level})\n", "[{Example} {n}]\n", "{Example} {n}.\n"),
    *("{n}. {Example}\n", "--- {Example} {n} ---\n", "{Example} {n}:\n\n"),
)
_LOWER: Final = Words("task", "example", "input", "output", "class label", "yes", "no", ENGLISH.before, ENGLISH.after)
_THOUGHTS: Final = (
    *(
        "<think>\n{draft}\n</think>\n\n{body}",
        "<thinking>{draft}</thinking>\n{body}",
        "<thought>\n{draft}\n</thought>{body}",
    ),
    *("[THINK]{draft}[/THINK]{body}", "<seed:think>{draft}</seed:think>{body}", "◁think▷{draft}◁/think▷{body}"),
    "{draft}\n</think>\n\n{body}",
)
_TO_FINAL: Final = "<|channel|>analysis<|message|>{draft}<|end|><|start|>assistant<|channel|>final<|message|>{body}"
_HARMONY: Final = (_TO_FINAL + "<|return|>", _TO_FINAL)
_STRIPPED: Final = ("analysis{draft}assistantfinal{body}",)
_AROUND: Final = ("{before}\n\n{body}", "{before}\n{body}", "{body}\n\n{after}", "{before}\n\n{body}\n\n{after}")
_JSON_FENCES: Final = ("```json\n{body}\n```", "```\n{body}\n```", "Here is the JSON:\n```json\n{body}\n```")
_NO_INPUT: Final = (
    *(
        "N/A",
        "None",
        "(none)",
        "<noinput>",
        "No input required",
        "N/A (no input needed)",
        "Not applicable",
        "None required",
    ),
    *("No input is needed for this task.", "This task does not require any input.", '""', "`N/A`", "无", "なし", "нет"),
)
_NEXT: Final = (
    "{body}\n\nTask: {other}\nOutput: {advice}",
    "{body}\n\nInstruction: {other}\nOutput: {advice}",
    "{body}\n\n**Task:** {other}\n**Output:** {advice}",
    "{body}\n\nTask: {other}\nExample 1\nInput: {other}\nOutput: {advice}",
)

STYLES: Final[dict[str, Style]] = {
    "plain": Style(),
    "bold": Style(
        listings=(
            *(Listing("**{n}.** {task}"), Listing("**{Task} {n}:** {task}")),
            Listing("**{Task} {n}**\n{task}", "\n\n"),
        ),
        pairings=(
            _BOLD,
            _BOLD._replace(heading="**{Example} {n}:**\n\n", pair="**{Input}:**\n{input}\n\n**{Output}:**\n{output}"),
        ),
        answers=("**{answer}**", "**{answer}.**", "**Answer:** {answer}"),
    ),
    "headings": Style(
        listings=(Listing("### {Task} {n}\n{task}", "\n\n"), Listing("## {n}. {task}", "\n\n")),
        pairings=_HEADED,
        answers=("### {answer}", "{answer}"),
    ),
    "numbered-bold": Style(
        listings=(Listing("{n}. **{task}**"), Listing("**{n}. {task}**", "\n\n")),
        pairings=(_BOLD._replace(heading="**{n}.**\n"), _BOLD._replace(heading="{n}. **{Example}**\n")),
        answers=("**{answer}**",),
    ),
    **{name: _foreign(words) for name, words in LANGUAGES.items()},
    "lower-case": Style(words=(_LOWER,), listings=(Listing("{Task} {n}: {task}"),)),
    "bullets": Style(
        listings=(Listing("- {task}"), Listing("* {task}", "\n\n"), Listing("• {task}")),
        pairings=_BULLETED,
        answers=("- {answer}",),
    ),
    "expected-output": Style(
        words=(ENGLISH._replace(output="Expected Output"), ENGLISH._replace(output="Expected output")),
    ),
    "answer": Style(
        words=(ENGLISH._replace(output="Answer"), ENGLISH._replace(output="Response")),
        answers=("Answer: {answer}", "Label task: {answer}"),
    ),
    "reasoning": Style(whole=_THOUGHTS, json_whole=_THOUGHTS),
    "harmony": Style(whole=_HARMONY, json_whole=_HARMONY),
    "harmony-stripped": Style(whole=_STRIPPED, json_whole=_STRIPPED),
    "torn": Style(is_torn=True),
    "fenced": Style(
        listings=(Listing(whole="```\n{body}\n```"), Listing(whole="```markdown\n{body}\n```")),
        pairings=_FENCED,
        answers=("```\n{answer}\n```", "`{answer}`"),
        json_whole=_JSON_FENCES,
    ),
    "quoted": Style(
        listings=(Listing('{n}. "{task}"'), Listing("{n}. “{task}”")),
        pairings=(
            Pairing(
                pair='{Input}: "{input}"\n{Output}: "{output}"',
                alone='{Output}: "{output}"',
                labelled='{Label}: "{output}"\n"{input}"',
            ),
        ),
        answers=('"{answer}"', '"{answer}."'),
    ),
    "preamble-and-remark": Style(
        whole=_AROUND,
        json_whole=_AROUND,
        before=(
            *("Sure! Here they are:", "Certainly! Here is what you asked for:", "Here you go:"),
            *("Of course, happy to help.", "Great, let me add to your collection."),
        ),
        after=(
            *("Let me know if you would like more examples!", "I hope this helps!", "Feel free to ask for more."),
            *("These examples show how varied such work can be.", "(Note: this is only one of many possibilities.)"),
        ),
    ),
    "titled": Style(
        listings=(
            *(Listing("{n}. **{title}:** {task}"), Listing("**{title}:** {task}", "\n\n")),
            *(Listing("### {Task} {n}: {title}\n{task}", "\n\n"), Listing("{n}. **{title}**\n   {task}")),
        ),
    ),
    "annotated": Style(
        listings=(
            Listing("{n}. {task}\n   - Type: {kind}\n   - Difficulty: {level}"),
            Listing("{n}. {task}\n   Type: {kind}", "\n\n"),
            Listing("{n}. {task}\n   *Why: it is {kind} and {level}.*", "\n\n"),
        ),
        answers=("{answer}\n\nType: labelling", "{answer}"),
    ),
    "roman": Style(
        listings=(Listing("{roman}. {task}"), Listing("({roman}) {task}")),
        pairings=(_PLAIN_PAIRING._replace(heading="{Example} {roman}\n"),),
    ),
    "lettered": Style(
        listings=(Listing("{letter}) {task}"), Listing("({letter}) {task}"), Listing("{letter}. {task}")),
        pairings=(_PLAIN_PAIRING._replace(heading="{Example} {capital}\n"),),
    ),
    "circled": Style(
        listings=(Listing("{circled} {task}"),), pairings=(_PLAIN_PAIRING._replace(heading="{Example} {circled}\n"),)
    ),
    "ideographic": Style(listings=(Listing("{cjk}、{task}"),)),
    "inline": Style(
        listings=(Listing(joined=" "), Listing("({n}) {task}", " ")),
        pairings=(_PLAIN_PAIRING._replace(heading="{Example} {n}: "), _PLAIN_PAIRING._replace(heading="{n}. ")),
    ),
    "json-in-text": Style(whole=(*_JSON_FENCES, "{body}"), is_json=True),
    "loose-json": Style(whole=(*_JSON_FENCES, "{body}"), layouts=LOOSE_LAYOUTS, is_json=True),
    "label-under-text": Style(pairings=_UNDER_TEXT),
    "example-titles": Style(pairings=tuple(_PLAIN_PAIRING._replace(heading=heading) for heading in _TITLES)),
    "example-headings": Style(pairings=tuple(_PLAIN_PAIRING._replace(heading=heading) for heading in _SHAPES)),
    "no-headings": Style(pairings=(_PLAIN_PAIRING._replace(heading=""),)),
    "no-input-phrases": Style(
        pairings=tuple(
            _PLAIN_PAIRING._replace(alone="{Example} 1\n{Input}: " + phrase + "\n{Output}: {output}")
            for phrase in _NO_INPUT
        ),
    ),
    "next-task": Style(pairings=tuple(_PLAIN_PAIRING._replace(whole=whole) for whole in _NEXT)),
    "escaped-numbers": Style(
        listings=(Listing("{n}\\. {task}"),), pairings=(_PLAIN_PAIRING._replace(heading="{Example} {n}\\.\n"),)
    ),
}
