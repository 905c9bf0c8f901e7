"""FastInstruct and the other tools, in one run, on the same texts, with the same question.

The question: does anything in the pool so far have ROUGE-L F > 0.7 with this text? Texts come in file order, and those
that aren't rejected join the pool. Every tool begins with `str` and runs in one thread; each one's verdicts are scored
against exact ROUGE-L (`RougeIndex`, itself checked against rouge_score on a sample: the pairs that it rejects for, bit
for bit, and whole scans by every exact tool).

Two streams: Alpaca's instructions where they are at hand (else text from benchmarks/markov.py), once as they are and
once with an edited copy of a tenth of them further on (benchmarks/edits.py).

How tools are run, timed and scored is said in fastinstruct/benchmarking/measuring.py, which this is a call of. A table
for people, one JSON document as the last line.

    python -m benchmarks.similarity.peers                                    # needs the extra `bench`
    python -m benchmarks.similarity.peers --texts 3000 --rounds 1            # to try it
"""

import argparse
import json

import benchmarks.similarity.edits as edits
import benchmarks.similarity.markov as markov
from fastinstruct.benchmarking.arms import Contest, Question, exact, exact_singly
from fastinstruct.benchmarking.measuring import Row, measure, prepared
from fastinstruct.benchmarking.peers import PEERS
from fastinstruct.benchmarking.report import document, load, table
from fastinstruct.config.environment import let_rayon_use_one_thread

CHECKED_PAIRS = 2_000
QUESTION = Question()
EXACT_BY_SCANS = ("rouge_score", "rouge-score-rs", "rapidrouge")


def stream(count: int) -> tuple[str, list[str]]:
    """What the texts are, and the texts."""
    texts = markov.corpus()
    if markov.ALPACA.exists():
        return "Alpaca", texts[:count]
    blocks = markov.blocks(markov.build_chain(texts), count)
    return "Markov", [text for block in blocks for text in block]


def measured(texts: list[str], contest: Contest, rounds: int, checked_pairs: int) -> Row:
    """Every tool on one stream; the slow ones decide it once. A tool that fails, or an exact one that errs, ends it."""
    found = measure(texts, QUESTION, contest, rounds, slow_rounds=1, checked_pairs=checked_pairs)
    for row in found["rows"]:
        if row["error"] is not None:
            raise SystemExit(f"{row['name']}, {row['settings']}: {row['error']}")
        if row["name"] in EXACT_BY_SCANS and {row["recall"], row["precision"]} - {1.0, None}:
            raise SystemExit(f"{row['name']} and FastInstruct disagree on one of {row['asked']} texts")
    return found


def show(name: str, found: Row) -> None:
    print()
    for line in table(name, found):
        print(line, flush=True)


def ready() -> tuple[float, float | None]:
    """Load the kernels, and let every tool keep to one thread: seconds that took, and the machine's load before."""
    let_rayon_use_one_thread()
    before = load()
    compiling = prepared()
    print(f"compiling or loading our kernels: {compiling:.2f} s; load at the start: {before or 0:.1f}")
    return compiling, before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=52_002, help="how many, before edited copies are added")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    compiling, before = ready()
    source, texts = stream(arguments.texts)
    ours = Contest(arms=(exact(QUESTION, "FastInstruct"), exact_singly(QUESTION, "FastInstruct")))
    streams = {}
    for name, given in ((f"{source} with edits", edits.with_edits(texts)), (source, texts)):
        contest = sum((peer.contest(QUESTION) for peer in PEERS.values()), ours)
        streams[name] = measured(given, contest, arguments.rounds, CHECKED_PAIRS)
        show(name, streams[name])
    print(json.dumps(document("peers", QUESTION, streams, compile_s=compiling, load_before=before)))


if __name__ == "__main__":
    main()
