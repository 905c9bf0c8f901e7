"""FastInstruct and the other tools, in one run, on the same texts, with the same question.

The question: does anything in the pool so far have ROUGE-L F > 0.7 with this text? Texts come in file order, and those
that aren't rejected join the pool. Every tool begins with `str` and runs in one thread; each one's verdicts are scored
against exact ROUGE-L (`RougeIndex`, itself checked against rouge_score on a sample: the pairs that it rejects for, bit
for bit, and whole scans by every exact tool).

Two streams: Alpaca's instructions where they are at hand (else text from benchmarks/markov.py), once as they are and
once with an edited copy of a tenth of them further on (benchmarks/edits.py).

Tools that stream decide every text, in rounds that run them one after another; a ratio is taken within a round, to
FastInstruct in batches, and the median is given. Tools that compare a text with the whole pool are asked about a
sample: their time a text is extrapolated (time a pair x mean size of the pool over the stream). Ratios are of CPU
time, which other work on the machine disturbs less. A table for people, one JSON document as the last line.

    python -m benchmarks.similarity.peers                                    # needs the extra `bench`
    python -m benchmarks.similarity.peers --texts 3000 --rounds 1            # to try it
"""

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import benchmarks.similarity.edits as edits
import benchmarks.similarity.markov as markov
from benchmarks.similarity.peer_tools import BATCH, THRESHOLD, FuzzPool, Peer, Scan, scans, streaming_peers
from fastinstruct.similarity import RougeIndex, warm_up

Result = TypeVar("Result")
Row = dict[str, Any]
PACKAGES = ("rensa", "datasketch", "rouge-score", "rouge-score-rs", "rapidrouge", "rapidfuzz", "numba", "numpy")
CHECKED_PAIRS = 2_000
FUZZ_BATCHES = 10
FUZZ_BATCH = 100
WARM_UP = 500


def stream(count: int) -> tuple[str, list[str]]:
    """What the texts are, and the texts."""
    texts = markov.corpus()
    if markov.ALPACA.exists():
        return "Alpaca", texts[:count]
    blocks = markov.blocks(markov.build_chain(texts), count)
    return "Markov", [text for block in blocks for text in block]


def timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """What `work` gave, and its wall and CPU time in seconds."""
    gc.collect()
    begin, cpu_begin = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - begin, time.process_time() - cpu_begin


class Truth:
    """The exact verdicts on a stream, and its pool as it was before each text."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        verdicts = RougeIndex(THRESHOLD, tokenizer="rouge").admit(texts)
        self.rejected = ~verdicts.admitted
        self.kept = np.flatnonzero(verdicts.admitted)
        self.nearest, self.scores = verdicts.nearest, verdicts.scores
        self.mean_pool = float(np.mean(np.cumsum(verdicts.admitted) - verdicts.admitted))

    def pool(self, place: int) -> list[str]:
        """The pool when the text at `place` came."""
        return [self.texts[kept] for kept in self.kept[: np.searchsorted(self.kept, place)].tolist()]

    def checked_pairs(self, count: int) -> int:
        """Compare the scores of `count` rejected texts with rouge_score's, bit for bit; how many there were."""
        from rouge_score import rouge_scorer

        score = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False).score
        places = spread(np.flatnonzero(self.rejected), count)
        for place in places:
            neighbour = self.texts[self.kept[self.nearest[place]]]
            expected = score(neighbour, self.texts[place])["rougeL"].fmeasure
            if expected != self.scores[place] or expected <= THRESHOLD:
                raise SystemExit(f"text {place}: rouge_score says {expected}, FastInstruct {self.scores[place]}")
        return len(places)

    def judged(self, verdicts: list[bool], places: list[int] | None = None) -> Row:
        """Recall and precision of verdicts on these places (all without)."""
        said = np.array(verdicts, dtype=np.bool_)
        true = self.rejected if places is None else self.rejected[places]
        right = int((said & true).sum())
        return {
            "recall": right / int(true.sum()) if true.any() else None,
            "precision": right / int(said.sum()) if said.any() else None,
            "kept": int((~said).sum()) if places is None else None,
        }


def spread(places: NDArray[np.int64], count: int) -> list[int]:
    """At most `count` of the places, evenly spread."""
    if len(places) <= count:
        return [int(place) for place in places]
    return [int(place) for place in places[(np.arange(count) * 2 + 1) * len(places) // (2 * count)]]


def run_streaming(truth: Truth, peers: list[Peer]) -> list[Row]:
    """All texts, in as many rounds as the tool with most repeats has; every other round in reverse order."""
    for peer in peers:
        peer.decide(truth.texts[:WARM_UP])  # Imports, tables that a tool makes once, first pages.
    times: dict[int, list[tuple[float, float, float]]] = {number: [] for number in range(len(peers))}
    rows: dict[int, Row] = {}
    for round_number in range(max(peer.repeats for peer in peers)):
        runs = [number for number, peer in enumerate(peers) if round_number < peer.repeats]
        found = {}
        for number in runs if round_number % 2 == 0 else reversed(runs):
            verdicts, wall, cpu = timed(lambda number=number: peers[number].decide(truth.texts))  # type: ignore[misc]  # mypy can't infer a lambda with a default
            found[number] = wall, cpu
            rows[number] = truth.judged(verdicts)
        for number, (wall, cpu) in found.items():
            times[number].append((wall, cpu, cpu / found[0][1]))
    each = 1e6 / len(truth.texts)
    return [
        {
            "name": peer.name,
            "settings": peer.settings,
            "asked": len(truth.texts),
            "rounds": peer.repeats,
            "us": each * float(np.median([wall for wall, _, _ in times[number]])),
            "cpu_us": each * float(np.median([cpu for _, cpu, _ in times[number]])),
            "times_ours": float(np.median([ratio for _, _, ratio in times[number]])),
            **rows[number],
        }
        for number, peer in enumerate(peers)
    ]


def run_scan(truth: Truth, scan: Scan, ours_us: float) -> Row:
    """A sample, half of it rejected by the truth if so many are."""
    rejected = spread(np.flatnonzero(truth.rejected), scan.samples // 2)
    places = sorted(rejected + spread(truth.kept[1:], scan.samples - len(rejected)))
    verdicts, wall, cpu, pairs = [], 0.0, 0.0, 0
    for place in places:
        pool, text = truth.pool(place), truth.texts[place]
        verdict, wall_one, cpu_one = timed(lambda pool=pool, text=text: scan.rejects(pool, text))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        verdicts.append(verdict)
        wall, cpu, pairs = wall + wall_one, cpu + cpu_one, pairs + len(pool)
    scale = 1e6 * truth.mean_pool / pairs
    found = truth.judged(verdicts, places)
    if found["recall"] not in (1.0, None) or found["precision"] not in (1.0, None):
        raise SystemExit(f"{scan.name} and FastInstruct disagree on one of the texts {places}")
    return sampled_row(scan.name, scan.settings, len(places), wall * scale, cpu * scale, ours_us) | found


def run_fuzz(truth: Truth, ours_us: float) -> Row:
    """RapidFuzz: whole batches at places spread over the stream; the pool is prepared once, as a caller would."""
    fuzz = FuzzPool()
    prepared, wall_once, cpu_once = timed(lambda: fuzz.prepared(truth.texts))
    wall, cpu = wall_once / len(truth.texts), cpu_once / len(truth.texts)
    places, verdicts, pairs, spent, cpu_spent = list[int](), list[bool](), 0, 0.0, 0.0
    starts = np.arange(FUZZ_BATCH, len(truth.texts) - FUZZ_BATCH, dtype=np.int64)
    for first in spread(starts, FUZZ_BATCHES):
        pool = [prepared[kept] for kept in truth.kept[: np.searchsorted(truth.kept, first)].tolist()]
        batch = prepared[first : first + FUZZ_BATCH]
        said, wall_one, cpu_one = timed(lambda pool=pool, batch=batch: fuzz.rejected(pool, batch))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        verdicts += said
        places += range(first, first + FUZZ_BATCH)
        spent, cpu_spent, pairs = spent + wall_one, cpu_spent + cpu_one, pairs + len(batch) * len(pool)
    wall, cpu = wall + spent * truth.mean_pool / pairs, cpu + cpu_spent * truth.mean_pool / pairs
    row = sampled_row("RapidFuzz cdist", "tokens as characters", len(places), 1e6 * wall, 1e6 * cpu, ours_us)
    return row | truth.judged(verdicts, places)


def sampled_row(name: str, settings: str, asked: int, us: float, cpu_us: float, ours_us: float) -> Row:
    return {
        "name": name,
        "settings": settings,
        "asked": asked,
        "rounds": 1,
        "us": us,
        "cpu_us": cpu_us,
        "times_ours": cpu_us / ours_us,
    }


def measure(texts: list[str], peers: list[Peer], scanned: list[Scan], checked_pairs: int = CHECKED_PAIRS) -> Row:
    """Every tool on one stream; ratios are to the first of `peers`."""
    truth = Truth(texts)
    checked = truth.checked_pairs(checked_pairs)
    rows = run_streaming(truth, peers)
    ours_us = rows[0]["cpu_us"]
    rows += [run_scan(truth, scan, ours_us) for scan in scanned]
    rows.append(run_fuzz(truth, ours_us))
    return {
        "texts": len(texts),
        "mean_words": float(np.mean([len(text.split()) for text in texts])),
        "near_duplicates": int(truth.rejected.sum()),
        "mean_pool": truth.mean_pool,
        "scores_checked_by_rouge_score": checked,
        "rows": rows,
    }


def show(name: str, found: Row) -> None:
    print(
        f"\n{name}: {found['texts']:,} texts of {found['mean_words']:.0f} words, "
        f"{found['near_duplicates']:,} of them near-duplicates by exact ROUGE-L "
        f"({found['scores_checked_by_rouge_score']:,} of their scores checked by rouge_score)"
    )
    times = f"{'us a text':>12}{'CPU us':>12}{'x ours':>10}"
    print(f"{'tool':<25}{'settings':<27}{times}{'recall':>8}{'precision':>10}{'kept':>9}")
    for row in found["rows"]:
        recall, precision = (f"{row[what]:.3f}" if row[what] is not None else "-" for what in ("recall", "precision"))
        kept = f"{row['kept']:,}" if row["kept"] is not None else f"({row['asked']:,})"
        print(
            f"{row['name']:<25}{row['settings']:<27}{row['us']:>12,.2f}{row['cpu_us']:>12,.2f}"
            f"{row['times_ours']:>10,.1f}{recall:>8}{precision:>10}{kept:>9}",
            flush=True,
        )
    print("(n): asked about n texts only; time a text = time a pair x mean pool")


def document(benchmark: str, compile_s: float, load: float, streams: dict[str, Row]) -> str:
    """The last line of the output."""
    found = {
        "benchmark": benchmark,
        "threshold": THRESHOLD,
        "batch": BATCH,
        "compile_s": compile_s,
        "load": [load, os.getloadavg()[0]],
        "machine": platform.machine(),
        "versions": {package: version(package) for package in PACKAGES},
        "streams": streams,
    }
    return json.dumps(found)


def prepared() -> tuple[float, float]:
    """Load the kernels, and let every tool keep to one thread: seconds that took, and the machine's load before."""
    os.environ["RAYON_NUM_THREADS"] = "1"  # before Rensa and rouge-score-rs are imported
    load = os.getloadavg()[0]
    _, compiling, _ = timed(warm_up)
    print(f"compiling or loading our kernels: {compiling:.2f} s; load at the start: {load:.1f}")
    return compiling, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=52_002, help="how many, before edited copies are added")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    compiling, load = prepared()
    source, texts = stream(arguments.texts)
    streams = {}
    for name, given in ((f"{source} with edits", edits.with_edits(texts)), (source, texts)):
        streams[name] = measure(given, streaming_peers(arguments.rounds), scans())
        show(name, streams[name])
    print(document("peers", compiling, load, streams))


if __name__ == "__main__":
    main()
