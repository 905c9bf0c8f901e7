"""FastInstruct and the other tools on long texts: the question of peers.py, asked of answers and of whole prompts.

Two streams: Alpaca's outputs and prompts of T0 where they are at hand (else text from benchmarks/markov.py, several in
one), each with an edited copy of a tenth of them further on. A copy has up to 50 edits a hundred words, the number
drawn evenly: near-duplicates lie anywhere between ROUGE-L 0.7 and 1, and some copies are none (benchmarks/edits.py).

Each tool at its defaults and tuned for recall; how they are run, timed and scored is said in peers.py. Ratios are to
`RougeIndex`, whose verdicts are the exact ones. A table for people, one JSON document as the last line.

    python -m benchmarks.similarity.peers_long                                            # needs the extra `bench`
    python -m benchmarks.similarity.peers_long --texts prompts --count 500 --rounds 1     # to try it
"""

import argparse
import gzip
import json
from dataclasses import replace
from pathlib import Path

import benchmarks.similarity.edits as edits
import benchmarks.similarity.markov as markov
from benchmarks.similarity.peers import QUESTION, measured, ready, show
from fastinstruct.benchmarking.arms import Contest, approximate, exact
from fastinstruct.benchmarking.peers import PEERS
from fastinstruct.benchmarking.report import document

EDIT_RATE = 0.5
CHECKED_PAIRS = 300
PEERS_OF_LONG_TEXTS = ("rensa", "datasketch", "rouge-score", "rapidfuzz")
SAMPLES = 8  # of texts each pair of which takes rouge_score milliseconds
PROMPTS = markov.ALPACA.with_name("t0_prompts_2k.jsonl.gz")
# What the texts are, their file and key, how many sentences make one where the file is missing, and how many at most.
STREAMS = {
    "outputs": ("Alpaca's outputs", markov.ALPACA, "output", 4, 20_000),
    "prompts": ("T0 prompts", PROMPTS, "text", 14, 2_000),
}


def stream(name: str, count: int) -> tuple[str, list[str]]:
    """What the texts are, and at most `count` of them."""
    source, path, key, sentences, most = STREAMS[name]
    count = min(count, most)
    if path.exists():
        return source, texts_of(path, key)[:count]
    chain = markov.build_chain(markov.corpus())
    short = [text for block in markov.blocks(chain, count * sentences) for text in block]
    return "Markov", [" ".join(short[first : first + sentences]) for first in range(0, len(short), sentences)]


def texts_of(path: Path, key: str) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)[key] for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--count", type=int, default=20_000, help="how many of each, before edited copies are added")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    compiling, before = ready()
    streams = {}
    for name in arguments.texts:
        source, texts = stream(name, arguments.count)
        given = edits.with_edits(texts, rate=EDIT_RATE)
        streams[name] = measured(given, contest(), arguments.rounds, CHECKED_PAIRS)
        streams[name]["source"] = source
        show(f"{source} with edits", streams[name])
    print(json.dumps(document("peers_long", QUESTION, streams, compile_s=compiling, load_before=before)))


def contest() -> Contest:
    """Our two indexes and the peers that long texts leave time for."""
    ours = Contest(arms=(exact(QUESTION), approximate(QUESTION)))
    found = sum((PEERS[name].contest(QUESTION) for name in PEERS_OF_LONG_TEXTS), ours)
    return replace(found, scans=tuple(replace(scan, samples=SAMPLES) for scan in found.scans))


if __name__ == "__main__":
    main()
