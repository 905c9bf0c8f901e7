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
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest

import fastinstruct
from adversarial import pieces, worst_texts
from fastinstruct.lm.classify import classify_reply
from fastinstruct.lm.concurrency import parse_queue_metrics
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.error_replies import parse_error, retry_after_s, shown
from fastinstruct.lm.reasoning import without_reasoning
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

MADE_IN_FUNCTIONS = {
    "config.budgets:_number": "a value of ours",
    "exports.reference:_folder": "a model's name",
}


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
    """Which methods are called on a name, anywhere in the package."""
    called: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
                called.setdefault(node.value.id, set()).add(node.attr)
    return called


def readers_of(name: str, pattern: re.Pattern[str]) -> list[Callable[[str], object]]:
    """How it is applied: at a text's beginning only, or, where that is not certain, all over the text."""
    how = uses().get(name.partition(":")[2], set())
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
    reader: Callable[[str], object], texts: Iterator[tuple[str, str, str]], most_s: float = 2.0
) -> str | None:
    """Which text takes more than linear time, or more than `most_s` at 256 kB; None where all are read as they should.

    All texts are tried short, and the slowest of them long.
    """
    ranked: list[tuple[float, tuple[str, str, str]]] = []
    for text in texts:
        for size in (24, 250, 2000):
            spent_s = seconds(reader, written(*text, size))
            if spent_s > 0.02 and seconds(reader, written(*text, size), 3) > 0.02:
                return f"{spent_s:.3f} s for {size} characters: {text}"
        ranked.append((spent_s, text))
    for _, text in sorted(ranked, reverse=True)[:3]:
        before_s, sizes = seconds(reader, written(*text, 16_000), 3), (64_000, 256_000)
        for size in sizes:
            spent_s = seconds(reader, written(*text, size))
            if spent_s > max(0.004, 8 * before_s):  # 4 where it is linear, 16 where it is quadratic
                spent_s = seconds(reader, written(*text, size), 3)
            if spent_s > max(0.004, 8 * before_s) or spent_s > most_s:
                return f"{before_s:.4f} s, then {spent_s:.4f} s for {size} characters: {text}"
            before_s = spent_s
    return None


# --- regular expressions


@pytest.mark.parametrize("name", PATTERNS)
def test_every_regular_expression_takes_linear_time_for_its_own_worst_texts(name: str) -> None:
    pattern, always = PATTERNS[name], BOUNDED.get(name, "")
    texts = [(lead, piece, end + always) for lead, piece, end in worst_texts(pattern)]
    for reader in readers_of(name, pattern):
        assert complaint(reader, iter(texts)) is None


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
    assert {name.partition(":")[0].split(".")[1] for name in PATTERNS} >= {"text", "lm", "cli", "config", "similarity"}
    assert set(BOUNDED) <= set(PATTERNS)
