"""`bench` on small streams: verdicts, samples, growth, who is asked, and what becomes of a tool that fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastinstruct.benchmarking import BenchPlan, bench, measuring
from fastinstruct.benchmarking.arms import Arm, Contest, Decide, Question, Scan, exact, exact_singly
from fastinstruct.benchmarking.measuring import measure
from fastinstruct.benchmarking.peers import PEERS, Peer, chosen
from fastinstruct.benchmarking.report import table
from fastinstruct.benchmarking.truth import Truth
from fastinstruct.errors import InputError
from fastinstruct.testing import Pool, admitting, check_filter, related_texts, rouge_tokens

QUESTION = Question()
OURS = Contest(arms=(exact(QUESTION),))
INSTALLED = [peer for peer in PEERS.values() if peer.is_installed]  # all, with the extra `bench`
TEXTS = related_texts(400, longest=12, seed=4)


def arm(decide: Callable[[Sequence[str]], list[bool]], **settings: Any) -> Arm:
    return Arm(name="theirs", settings="as it is", start=lambda: decide, **settings)


def row(contest: Contest, texts: list[str] = TEXTS, rounds: int = 1) -> dict[str, Any]:
    """The last row of what is measured with ours and these."""
    found: dict[str, Any] = measure(texts, QUESTION, OURS + contest, rounds)["rows"][-1]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    lines = [json.dumps({"instruction": text, "output": text[::-1]}) for text in TEXTS]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------------- recall, precision


def test_recall_and_precision_are_held_against_a_full_comparison() -> None:
    pool = Pool(0.7)
    true = [not pool.admit(rouge_tokens(text))[0] for text in TEXTS]
    said = [place % 2 == 0 for place in range(400)]
    right = sum(one and other for one, other in zip(said, true, strict=True))
    place = 0

    def alternating(texts: Sequence[str]) -> list[bool]:
        nonlocal place
        place += len(texts)
        return [each % 2 == 0 for each in range(place - len(texts), place)]

    found = row(Contest(arms=(arm(alternating, is_whole=True),)))
    # The warm-up asked about the first texts, an even number of them.
    assert (found["recall"], found["precision"], found["kept"]) == (right / sum(true), right / 200, 200)
    assert Truth(TEXTS, QUESTION).rejected.tolist() == true


def test_our_two_ways_and_every_installed_peer_have_rows_that_make_sense() -> None:
    contest = sum((peer.contest(QUESTION) for peer in INSTALLED), Contest(arms=(exact_singly(QUESTION),)))
    rows = measure(TEXTS, QUESTION, OURS + contest, 2, slow_rounds=1, checked_pairs=50)["rows"]
    assert {found["error"] for found in rows} == {None}
    by_name = {f"{found['name']}, {found['settings']}": found for found in rows}
    exact_ones = {"FastInstruct RougeIndex, one text a call", "rouge_score, score", "rapidrouge, score"}
    for name in exact_ones & set(by_name):
        assert (by_name[name]["recall"], by_name[name]["precision"]) == (1.0, 1.0)
    assert by_name.get("rouge-score-rs, score_multi", {"asked": 60})["asked"] == 60
    assert rows[0]["times_ours"] == 1.0
    assert all(found["cpu_us"] > 0 and found["us"] > 0 for found in rows)
    assert {found["name"]: found["rounds"] for found in rows}.get("Rensa deduplicator", 2) == 2
    assert {found["name"]: found["rounds"] for found in rows}["datasketch MinHashLSH"] == 1


def test_settings_follow_the_threshold() -> None:
    question = Question(threshold=0.5)
    contest = PEERS["rensa"].contest(question) + PEERS["datasketch"].contest(question)
    assert [each.settings for each in contest.arms] == [
        "threshold 0.5",
        "0.5, one text a call",
        "tuned: 0.33",
        "threshold 0.5, 32 bands",
        "tuned: 0.33, 32 bands",
        "0.5, 8 bands, all at once",
        "threshold 0.5",
        "tuned: 0.33",
        "tuned: 0.33, 42 bands of 3",
    ]


def test_the_peers_that_stream_keep_one_pool_over_all_batches() -> None:
    class Batched:
        """An arm as an index: 7 texts a call."""

        def __init__(self) -> None:
            self._decide: Decide = exact(QUESTION).start()

        def admit(self, texts: list[str]) -> list[bool]:
            return [not rejected for rejected in self._decide(texts)]

    check_filter(admitting(Batched, batch=7), examples=30)
    of_rensa = [peer.contest(QUESTION).arms[:5] for peer in INSTALLED if peer.name == "rensa"]
    for streaming in sum(of_rensa, PEERS["datasketch"].contest(QUESTION).arms):
        at_once, in_parts = streaming.start(), streaming.start()
        parts = [verdict for first in range(0, 400, 70) for verdict in in_parts(TEXTS[first : first + 70])]
        assert at_once(TEXTS) == parts, streaming


def test_rapidfuzz_in_batches_decides_as_the_exact_index_but_for_roundings() -> None:
    (matrix,) = PEERS["rapidfuzz"].contest(QUESTION).matrices
    prepared = matrix.prepare(["a b c d", "x", "...", "a b c e", "...", "a b c d"])
    assert matrix.rejected(prepared[:1], prepared[1:]) == [False, False, True, False, True]


# --------------------------------------------------------------------------------------------------------------- growth


def test_growth_is_the_time_of_the_last_texts_before_a_quarter_a_half_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(measuring, "time", clock)

    def slower_and_slower() -> Decide:
        count = 0

        def decide(texts: Sequence[str]) -> list[bool]:
            nonlocal count
            for _ in texts:
                count += 1
                clock.now += count * 1e-6
            return [False] * len(texts)

        return decide

    growing = Arm(name="theirs", settings="as it is", start=slower_and_slower)
    found = measure(TEXTS, QUESTION, Contest(arms=(growing, growing)), 3)
    assert found["rows"][1]["growth_cpu_us"] == pytest.approx([75.5, 175.5, 375.5])
    assert (found["rows"][1]["times_ours"], found["rows"][1]["cpu_us"]) == pytest.approx((1.0, 200.5))
    assert [at["texts"] for at in found["growth_at"]] == [100, 200, 400]


class Clock:
    """Stands still unless it is set; in the place of `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def process_time(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now


def test_what_needs_all_texts_at_once_and_what_is_short_has_no_growth() -> None:
    whole = arm(lambda texts: [False] * len(texts), is_whole=True)
    assert row(Contest(arms=(whole,)))["growth_cpu_us"] is None
    found = measure(TEXTS[:60], QUESTION, OURS, 1)
    assert (found["growth_at"], found["rows"][0]["growth_cpu_us"]) == ([], None)


@pytest.mark.parametrize("count", [1, 2, 5, 63, 64, 199, 201])
def test_few_texts_are_enough(count: int) -> None:
    contest = sum((peer.contest(QUESTION) for peer in INSTALLED), OURS)
    found = measure(TEXTS[:count], QUESTION, contest, 1)
    errors = {each["error"] for each in found["rows"]} - {None}
    assert errors <= {"too few texts to ask about", "too few texts to ask about; 300 will do"}
    assert list(table("few", found))


# -------------------------------------------------------------------------------------------------- tools that go wrong


def raising(texts: Sequence[str]) -> list[bool]:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("decide", "error"),
    [
        (raising, "RuntimeError: out of order"),
        (lambda texts: [False], "Mismatch: 1 verdicts on 50 texts"),
        (lambda texts: None, "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_tool_that_fails_has_a_row_that_says_so_and_the_others_are_measured(
    decide: Callable[[Sequence[str]], list[bool]], error: str
) -> None:
    found = measure(TEXTS, QUESTION, OURS + Contest(arms=(arm(decide), exact_singly(QUESTION))), 2)
    ours, theirs, last = found["rows"]
    assert theirs["error"] == error
    assert (theirs["recall"], theirs["us"], theirs["rounds"]) == (None, None, 0)
    assert (ours["error"], last["error"], last["recall"]) == (None, None, 1.0)
    assert any("theirs" in line and theirs["error"] in line for line in table("texts", found))


def test_a_scan_that_raises_or_cannot_be_made_has_such_a_row_too() -> None:
    def make() -> Callable[[list[str], str], bool]:
        raise ImportError("no such thing")

    scan = Scan(name="theirs", settings="score", make=make, samples=4)
    assert row(Contest(scans=(scan,)))["error"] == "ImportError: no such thing"


def test_a_scan_that_takes_long_is_cut_short_after_a_text() -> None:
    asked: list[str] = []

    def rejects(pool: list[str], text: str) -> bool:
        asked.append(text)
        return False

    scan = Scan(name="theirs", settings="score", make=lambda: rejects, samples=12)
    found = measure(TEXTS, QUESTION, OURS + Contest(scans=(scan,)), 1, most_s=0.0)["rows"][-1]
    assert (found["asked"], len(asked)) == (1, 1)
    assert found["recall"] == 0.0


# --------------------------------------------------------------------------------------------------------- who is asked


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, peer in PEERS.items():
        monkeypatch.setitem(PEERS, name, replace(peer, module="json"))


@pytest.mark.usefixtures("all_installed")
def test_all_that_are_installed_and_compare_by_the_tokenizer_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    peers, left_out = chosen(None, QUESTION)
    assert ([peer.name for peer in peers], left_out) == (list(PEERS), {})
    peers, left_out = chosen(None, Question(tokenizer="unicode-2"))
    assert [peer.name for peer in peers] == ["rensa", "datasketch", "rapidfuzz"]
    assert left_out["rouge-score"] == "compares by the words that tokenizer rouge finds; give --tokenizer rouge"
    absent = Peer(name="rensa", module="no_such_module", contest=PEERS["rensa"].contest)
    monkeypatch.setitem(PEERS, "rensa", absent)
    assert chosen(None, QUESTION)[1] == {"rensa": "is not installed; pip install rensa"}


@pytest.mark.parametrize(
    ("names", "tokenizer", "message"),
    [
        (
            ["minhash"],
            "rouge",
            "--peer minhash: there is no such peer; name one of rensa, datasketch, rouge-score, rouge-score-rs, rapid",
        ),
        (["rensa", "none"], "rouge", "--peer none: there is no such peer; name one of "),
        (["rapidrouge"], "unicode-2", "--peer rapidrouge: compares by the words that tokenizer rouge finds"),
    ],
)
@pytest.mark.usefixtures("all_installed")
def test_a_peer_that_cannot_be_asked_is_named_with_what_to_do(names: list[str], tokenizer: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen(names, Question(tokenizer=tokenizer))
    assert str(caught.value).startswith(message)


def test_none_asks_nobody_else() -> None:
    assert chosen(["none"], QUESTION) == ([], {})


# ------------------------------------------------------------------------------------------------------- a file's texts


def test_each_field_is_a_stream_of_its_own(file: Path) -> None:
    lines: list[str] = []
    plan = BenchPlan(file=file, fields=("instruction", "output"), peers=("rapidfuzz",), rounds=1, rows=300)
    found = bench(plan, say=lines.append)
    assert list(found["streams"]) == ["instruction", "output"]
    assert [stream["texts"] for stream in found["streams"].values()] == [300, 300]
    assert [each["name"] for each in found["streams"]["output"]["rows"]] == [
        "FastInstruct RougeIndex",
        "FastInstruct RougeIndex",
        "FastInstruct LSHIndex",
        "RapidFuzz cdist",
    ]
    assert found["streams"]["output"]["scores_checked_by_rouge_score"] > 0
    assert found["compile_s"] > 0
    assert found["versions"]["rapidfuzz"] is not None
    assert sum(line.startswith(f"{file}, ") for line in lines) == 2
    json.dumps(found)
