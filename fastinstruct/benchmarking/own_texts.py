"""FastInstruct and whatever peers are installed on a person's own texts.

Knows nothing of terminals. The texts are those of a file of JSON Lines, in its order, as `dedup` reads them; each field
that is named is a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fastinstruct.benchmarking.arms import Contest, Question, approximate, exact, exact_singly
from fastinstruct.benchmarking.measuring import measure, prepared
from fastinstruct.benchmarking.peers import PEERS, chosen
from fastinstruct.benchmarking.report import document, load, table
from fastinstruct.config.environment import let_rayon_use_one_thread
from fastinstruct.errors import InputError
from fastinstruct.files.rows import STDIN, Source, field_or_line, rows_of
from fastinstruct.similarity.arguments import checked_threshold
from fastinstruct.tokenizer_names import exact_tokenizer

__all__ = ["BenchPlan", "bench"]

_CHECKED_PAIRS = 200
_MOST_SCAN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure: the texts in `fields` of a file, the first `rows` of it, in so many `rounds`.

    `peers`: names of `PEERS`; None: all that are installed and compare by this tokenizer; `("none",)`: ours alone.
    """

    file: Path
    fields: tuple[str, ...] = ("instruction",)
    peers: tuple[str, ...] | None = None
    threshold: float = 0.7
    tokenizer: str = "rouge"
    rows: int | None = None
    rounds: int = 3


def bench(
    plan: BenchPlan,
    *,
    say: Callable[[str], None] = lambda line: None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Carry out a plan: `say` gets the lines of the tables, `note` what is measured now; all of it as one document.

    Raises:
        InputError: what has to be changed: a setting, a peer, the file or one of its lines (as FILE:LINE).
        Mismatch: rouge_score says another score than our exact index.
    """
    question = Question(threshold=checked_threshold(plan.threshold), tokenizer=exact_tokenizer(plan.tokenizer))
    peers, left_out = chosen(plan.peers, question)
    streams = {field: _texts(plan, field) for field in _fields(plan)}
    load_before = load()
    note("compiling or loading the kernels")
    let_rayon_use_one_thread()
    compile_s = prepared()
    say(f"compiling or loading the kernels: {compile_s:.2f} s, in no figure below")
    contest = Contest(arms=(exact(question), exact_singly(question), approximate(question)))
    checked = _CHECKED_PAIRS if question.tokenizer == "rouge" and PEERS["rouge-score"].is_installed else 0
    found = {}
    for field, texts in streams.items():
        entered = sum((peer.contest(question) for peer in peers), contest)
        found[field] = measure(
            texts, question, entered, plan.rounds, checked_pairs=checked, most_s=_MOST_SCAN_S, note=note
        )
        for line in ("", *table(f"{plan.file}, {field}", found[field])):
            say(line)
    for name, reason in left_out.items():
        say(f"not asked: {name} {reason}")
    return document(
        "bench",
        question,
        found,
        compile_s=compile_s,
        load_before=load_before,
        file=str(plan.file),
        rounds=plan.rounds,
        not_asked=left_out,
    )


def _fields(plan: BenchPlan) -> tuple[str, ...]:
    fields = tuple(dict.fromkeys(plan.fields))
    if plan.file == STDIN and len(fields) > 1:
        raise InputError("-: stdin can be read once; name one --field, or a file")
    return fields


def _texts(plan: BenchPlan, field: str) -> list[str]:
    source = Source(plan.file, field_or_line(plan.file, None, field))
    texts = [row.text for row in islice(rows_of(source), plan.rows)]
    if not texts:
        raise InputError(f"{plan.file}: holds no row; name a file with texts to measure on")
    return texts
