"""Every regular expression and every reader that sees foreign text takes time linear in its length.

The expressions are found by walking the package's modules, and each is fed what its own syntax makes it slow for. What
is measured is the CPU time of this thread, the least of several, so that a busy machine changes little.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import pkgutil
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import pytest

import fastinstruct
from adversarial import pieces, worst_texts
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes.classify import classify_reply
from fastinstruct.lm.outcomes.error_body import parse_error, retry_after_s, shown
from fastinstruct.lm.transports.queue_metrics import parse_queue_metrics
from fastinstruct.lm.transports.reasoning import without_reasoning
from fastinstruct.records import Api, FinishReason, Instance, ReplyForm, ReplyFormat, Sampling
from fastinstruct.text import paper
from fastinstruct.text.filters import InstructionFilter
from fastinstruct.text.parsing import parse_classification, parse_instances, parse_instructions
from fastinstruct.text.parsing_instructions import refined
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import is_answer, is_json_like, read_examples, read_is_classification, read_tasks

PACKAGE = Path(fastinstruct.__file__).parent
NOT_FOREIGN = ("fastinstruct.scripted_server", "fastinstruct.__main__")
METHODS = frozenset({"search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split"})

BOUNDED = {
    # It scans to the next brace from each place, and is given a text only up to its last one.
    "fastinstruct.config.files:_VARIABLE": "}",
}
"""Expressions that are slow by themselves, with what always follows in the texts that they are given."""


# --- what there is


def modules() -> Iterator[object]:
    for info in pkgutil.walk_packages(fastinstruct.__path__, "fastinstruct."):
        if not info.name.startswith(NOT_FOREIGN):
            yield importlib.import_module(info.name)


def patterns_in(value: object, depth: int = 6) -> Iterator[re.Pattern[str]]:
    """The expressions in a module's attribute: itself, in tables, in values, bound to a method."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield value.__self__  # type: ignore[attr-defined]  # it has one
    elif depth == 0 or isinstance(value, type):
        return
    elif isinstance(value, partial):
        yield from patterns_in((value.func, value.args, value.keywords), depth - 1)
    elif dataclasses.is_dataclass(value):
        yield from patterns_in([getattr(value, field.name) for field in dataclasses.fields(value)], depth - 1)
    elif isinstance(value, dict):
        yield from patterns_in([*value, *value.values()], depth - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from patterns_in(one, depth - 1)


def found_patterns() -> dict[str, re.Pattern[str]]:
    """By name: the module and the attribute that hold it first, and a number where that holds several."""
    names: dict[re.Pattern[str], str] = {}
    for module in modules():
        for attribute, value in vars(module).items():
            for number, pattern in enumerate(patterns_in(value)):
                if isinstance(pattern.pattern, str):
                    owner = f"{module.__name__}:{attribute}"  # type: ignore[attr-defined]  # of a module
                    names.setdefault(pattern, f"{owner}[{number}]" if number else owner)
    return {name: pattern for pattern, name in names.items()}


PATTERNS = found_patterns()


@cache
def uses() -> dict[str, set[str]]:
    """Which methods are called on a name of a module; by its name alone where others may import it."""
    called: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(("fastinstruct", *path.relative_to(PACKAGE).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
                name = node.value.id
                called.setdefault(f"{module}:{name}" if name.startswith("_") else name, set()).add(node.attr)
    return called


def readers_of(name: str, pattern: re.Pattern[str]) -> list[Callable[[str], object]]:
    """How it is applied: at a text's beginning only, or, where that is not certain, all over the text."""
    how = uses().get(name, set()) | uses().get(name.partition(":")[2], set())
    anchored: list[Callable[[str], object]] = [getattr(pattern, one) for one in ("match", "fullmatch") if one in how]
    return anchored if how and how <= {"match", "fullmatch"} else [*anchored, partial(everywhere, pattern)]


def everywhere(pattern: re.Pattern[str], text: str) -> None:
    for _ in pattern.finditer(text):
        pass


# --- how long it takes


def seconds(reader: Callable[[str], object], text: str, times: int = 1) -> float:
    least = float("inf")
    for _ in range(times):
        started = time.thread_time()
        reader(text)
        least = min(least, time.thread_time() - started)
    return least


def written(lead: str, piece: str, end: str, size: int) -> str:
    return lead + piece * max(1, size // len(piece)) + end


def complaint(
    reader: Callable[[str], object], texts: Iterator[tuple[str, str, str]], most_s: float = 2.0, short_s: float = 0.02
) -> str | None:
    """Which text takes more than linear time, or more than `most_s` at 256 kB or `short_s` at 2 kB.

    None where all are read as they should.

    All texts are tried short, and the slowest of them long.
    """
    ranked: list[tuple[float, tuple[str, str, str]]] = []
    for text in texts:
        for size in (20, 250, 2000):
            spent_s = seconds(reader, written(*text, size))
            if spent_s > short_s and seconds(reader, written(*text, size), 3) > short_s:
                return f"{spent_s:.3f} s for {size} characters: {text}"
        ranked.append((spent_s, text))
    for place, (_, text) in enumerate(sorted(ranked, reverse=True)[:3]):
        before_s = seconds(reader, written(*text, 4_000), 3)
        for size in (16_000, 64_000) if place else (16_000, 64_000, 256_000):
            spent_s = seconds(reader, written(*text, size))
            if spent_s > max(0.004, 8 * before_s):  # 4 where it is linear, 16 where it is quadratic
                spent_s = seconds(reader, written(*text, size), 3)
            if spent_s > max(0.004, 8 * before_s) or spent_s > most_s:
                return f"{before_s:.4f} s, then {spent_s:.4f} s for {size} characters: {text}"
            before_s = spent_s
    return None


def confirmed(
    reader: Callable[[str], object], texts: Sequence[tuple[str, str, str]], most_s: float = 2.0, short_s: float = 0.02
) -> str | None:
    """The complaint that is left after three tries: a busy machine may give one by chance."""
    told: str | None = None
    for _ in range(3):
        told = complaint(reader, iter(texts), most_s, short_s)
        if told is None:
            return None
    return told


# --- regular expressions


@pytest.mark.parametrize("name", PATTERNS)
def test_every_regular_expression_takes_linear_time_for_its_own_worst_texts(name: str) -> None:
    pattern, always = PATTERNS[name], BOUNDED.get(name, "")
    texts = [(lead, piece, end + always) for lead, piece, end in worst_texts(pattern)]
    for reader in readers_of(name, pattern):
        assert confirmed(reader, texts) is None


@pytest.mark.parametrize(
    "slow",
    [
        r"<title[^>]*>(.*?)</title>",
        r"Output\s*\d*\s*:",
        r"\s*</s>\Z",
        r"(?:a+)+b",
        r"x(?:\w+\s?)*y",
        r"\s*[(][^()]*[)]\s*$",
        r"<think>.*?</think>",
    ],
)
def test_slow_expressions_are_told(slow: str) -> None:
    pattern = re.compile(slow, re.DOTALL)
    assert complaint(partial(everywhere, pattern), worst_texts(pattern)) is not None


def test_many_expressions_are_found() -> None:
    assert len(PATTERNS) > 200
    assert {name.partition(":")[0].split(".")[1] for name in PATTERNS} >= {
        "text",
        "lm",
        "views",
        "config",
        "similarity",
    }
    assert set(BOUNDED) <= set(PATTERNS)


# --- readers

TASK = "Write a short poem about the sea."
OWN_PIECES = (
    *(f"Task: {TASK}\n", f"Task: {TASK} ", f"Task: {TASK}\nInput: a\nOutput: b\n", "Input: a\nOutput: b\n"),
    *("Example 1\nInput: a\nOutput: b\n\n", "Class label: Positive\nSentence: a b\n", f"1. {TASK}\n", "1) a 2) b "),
    *('{"tasks": ["a", ', '{"examples": [{"input": "a", "output": "b"}, ', '{"a":[', "[", "{", '{"input": "a", '),
    *("```json\n[\n", "```\n", "```", "<think>", "</think>", "<think>a</think>", "**Input:** ", "Input: ", "Output:\n"),
    *(
        "| a | b |\n",
        "“",
        '"',
        "'",
        "\\",
        '\\"',
        "\\n",
        "\\u0041",
        "I'm sorry, but I can't. ",
        "#\n",
        f"{TASK} ",
        f"{TASK}\n",
    ),
    *(
        "a\n\n",
        "Example: ",
        "---\n",
        "Positive: ",
        "- ",
        "-\n",
        " ",
        "\n",
        "\t\n",
        "a",
        "中",
        "<|im_end|>",
        "(a) ",
        "x; ",
    ),
)
SAMPLE = 40
"""How many pieces of the expressions' own texts each reader is fed beside ours; another seed draws others."""


def piece_texts(seed: int) -> list[tuple[str, str, str]]:
    """Our pieces, and some of what the expressions of `text` and `lm` match, each repeated, after another or not."""
    rng = random.Random(seed)
    known: dict[str, None] = {}
    for name, pattern in PATTERNS.items():
        if ".text." in name or ".lm." in name:
            prefixes, pumps = pieces(pattern)
            known |= dict.fromkeys(text for text in (*prefixes, *pumps) if len(text) < 60)
    drawn = rng.sample(sorted(known), SAMPLE)
    ended = [piece + rng.choice(("", " ", "\n", "\n\n", ": a\n")) for piece in drawn]
    alone = [("", piece, "") for piece in (*OWN_PIECES, *ended)]
    return alone + [(rng.choice(OWN_PIECES), piece, rng.choice(("", "\n", "```", "}"))) for piece in ended]


SCHEMA = {"type": "object", "properties": {"tasks": {"type": "array", "items": {"type": "string"}}}}
CHAT = Endpoint(base_url="http://127.0.0.1:8000/v1", model="m", api=Api.CHAT)
ASKED = ReplyFormat(form=ReplyForm.JSON_SCHEMA, name="tasks", schema=SCHEMA)
REQUEST = Request(key="r", prompt="Task:", sampling=Sampling(max_tokens=100_000), reply_format=ASKED)


def as_reply(text: str) -> object:
    body = json.dumps({"choices": [{"message": {"content": text, "reasoning_content": text}, "finish_reason": "stop"}]})
    return classify_reply(200, {}, body.encode(), CHAT, now_s=1e9, request=REQUEST, limits=(100_000,))


def as_refusal(text: str) -> object:
    body = json.dumps({"error": {"message": text, "code": text, "type": text, "param": text}, "detail": text})
    return [classify_reply(status, {}, body.encode(), CHAT, now_s=1e9, request=REQUEST) for status in (200, 400, 429)]


def as_page(text: str) -> object:
    return parse_error(b"<html>" + text.encode("utf-8", "replace"))


def as_header(text: str) -> object:
    headers = dict.fromkeys(("retry-after", "date", "x-ratelimit-reset-tokens", "retry-after-ms"), text[:8190])
    return retry_after_s(headers, text, 1e9)


STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
READERS: dict[str, Callable[[str], object]] = {
    "reply": as_reply,
    "refusal": as_refusal,
    "error page": as_page,
    "header": as_header,
    "words that are shown": partial(shown, endpoint=CHAT),
    "metrics": parse_queue_metrics,
    "reasoning": without_reasoning,
    "classification": parse_classification,
    "classification in JSON": read_is_classification,
    "JSON in text": is_json_like,
    "answer by its schema": partial(is_answer, SCHEMA),
    "filter": lambda text: InstructionFilter(min_words=3, max_words=150, keywords=()).judge(text, ()),
    "sifting": lambda text: sift_instances([Instance(input=text, output=text + "b")] * 3, 5, instruction=TASK),
    "paper instructions": partial(paper.parse_instructions, finish_reason=STOP),
    "paper classification": paper.is_classification,
    **{
        f"instructions, {api}, {reason}": partial(
            parse_instructions, api=api, first_number=9, max_items=20, finish_reason=reason
        )
        for api in Api
        for reason in (STOP, LENGTH)
    },
    **{
        f"tasks in JSON, torn {is_torn}": partial(read_tasks, max_items=20, is_torn=is_torn)
        for is_torn in (False, True)
    },
    "refined tasks": lambda text: refined(read_tasks(json.dumps({"tasks": [text, text]}), max_items=20, is_torn=False)),
    **{
        f"{'labels' if is_label else 'pairs'}, {reason}": partial(
            parse_instances, is_classification=is_label, finish_reason=reason, instruction=TASK
        )
        for is_label in (False, True)
        for reason in (STOP, LENGTH)
    },
    **{
        f"{'labels' if is_label else 'pairs'} in JSON, torn {is_torn}": partial(
            read_examples, is_torn=is_torn, instruction=TASK, is_classification=is_label
        )
        for is_label in (False, True)
        for is_torn in (False, True)
    },
    **{
        f"paper {'labels' if is_label else 'pairs'}": partial(
            paper.parse_instances, is_classification=is_label, finish_reason=STOP
        )
        for is_label in (False, True)
    },
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_of_foreign_text_takes_linear_time(name: str) -> None:
    assert confirmed(READERS[name], list(piece_texts(seed=1)), most_s=6.0, short_s=0.1) is None
