"""The benchmarks beside peers are calls of the package's engine: what they ask, what they print, when they give up."""

import json
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

from fastinstruct.benchmarking.arms import Arm, Contest, Decide, Scan, exact
from fastinstruct.testing import related_texts

TEXTS = related_texts(250, longest=10, seed=6)
ASKED = ("rensa", "datasketch", "rapidfuzz", "rapidrouge", "rouge_score", "rouge_score_rs")
needs_all = pytest.mark.skipif(not all(map(find_spec, ASKED)), reason="the extra `bench` is not installed")


@pytest.fixture
def peers() -> ModuleType:
    return import_module("benchmarks.similarity.peers")


@pytest.fixture
def peers_long() -> ModuleType:
    return import_module("benchmarks.similarity.peers_long")


@needs_all
def test_results_have_what_the_tables_in_the_pages_are_laid_out_from(peers: ModuleType, peers_long: ModuleType) -> None:
    readme = import_module("benchmarks.readme")
    found = peers.measured(TEXTS, peers_long.contest(), 1, 20)
    streams = {"outputs": found | {"source": "Alpaca's outputs"}}
    document: dict[str, Any] = peers_long.document(
        "peers_long", peers.QUESTION, streams, compile_s=0.0, load_before=None
    )
    table = readme.peers_long(json.loads(json.dumps(document)))
    assert table.startswith("| Alpaca's outputs: 250 texts of ")
    assert "| FastInstruct LSHIndex, batches of 1,000 | " in table
    assert "| rouge_score, score (sample of 8) | ~" in table
    assert {*readme.BRIEF} & {readme.tool(row) for row in found["rows"]} == {*readme.BRIEF} - {
        "FastInstruct, batches of 1,000"
    }


def test_a_tool_that_fails_and_an_exact_one_that_errs_end_the_benchmark(peers: ModuleType) -> None:
    def start() -> Decide:
        raise RuntimeError("out of order")

    ours = exact(peers.QUESTION)
    with pytest.raises(SystemExit, match=r"^theirs, as it is: RuntimeError: out of order$"):
        peers.measured(TEXTS, Contest(arms=(ours, Arm(name="theirs", settings="as it is", start=start))), 1, 0)
    blind = Scan(name="rapidrouge", settings="score", make=lambda: lambda pool, text: False, samples=12)
    with pytest.raises(SystemExit, match=r"^rapidrouge and FastInstruct disagree on one of 12 texts$"):
        peers.measured(TEXTS, Contest(arms=(ours,), scans=(blind,)), 1, 0)
