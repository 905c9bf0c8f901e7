"""How much memory `fastinstruct dedup` needs, beside what it estimates before it starts (deduplication/memory.py).

Each row is a call in a process of its own: its largest resident memory (VmHWM), less that of a call with one row. Texts
are Alpaca's instructions and outputs, T0 prompts, Chinese made of seed tasks character by character, and text from
benchmarks/markov.py, which goes on for longer. Linux only; needs the data beside the repository, 3 minutes, no extra.
A table for people, one JSON document as the last line.

    python -m benchmarks.similarity.memory
    python -m benchmarks.similarity.memory --threshold 0.5 --only instructions Chinese
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import benchmarks.similarity.markov as markov
from fastinstruct.deduplication.decisions import new_index
from fastinstruct.deduplication.memory import estimated_bytes
from fastinstruct.files.rows import Source

DATA = markov.ALPACA.parent
METHODS = ("exact", "lsh")
CALL = """
import sys
from fastinstruct.cli.app import app
try:
    app()
finally:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak.split()[1], file=sys.stderr)
"""


def alpaca(field: str, count: int) -> Callable[[], list[str]]:
    return lambda: column("alpaca_52k.jsonl.gz", field)[:count]


def column(name: str, field: str) -> list[str]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line)[field] for line in lines]


def made_up(count: int) -> list[str]:
    return [text for block in markov.blocks(markov.build_chain(markov.corpus()), count) for text in block]


def chinese(count: int) -> list[str]:
    """Texts of 10 to 50 characters, each drawn from those that follow the one before it in Chinese seed tasks."""
    rows = [json.loads(line) for line in (DATA / "zh_seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    corpus = "\n".join(row["instruction"] for row in rows)
    followers = defaultdict[str, list[str]](list)
    for one, other in pairwise(corpus):
        followers[one].append(other)
    random = np.random.default_rng(0)
    texts = []
    for length in random.integers(10, 50, count).tolist():
        text = corpus[int(random.integers(len(corpus) - 1))]
        for draw in random.integers(1 << 30, size=length).tolist():
            text += followers[text[-1]][draw % len(followers[text[-1]])]
        texts.append(text)
    return texts


KINDS: dict[str, Callable[[], list[str]]] = {
    "instructions": alpaca("instruction", 52_002),
    "half of them": alpaca("instruction", 26_000),
    "outputs": alpaca("output", 52_002),
    "half of these": alpaca("output", 26_000),
    "T0 prompts": lambda: column("t0_prompts_2k.jsonl.gz", "text"),
    "Chinese": lambda: chinese(100_000),
    "made up": lambda: made_up(400_000),
}


def written(folder: Path, texts: list[str]) -> Path:
    path = folder / "texts.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    return path


def called(path: Path, method: str, threshold: float) -> tuple[int, int]:
    """The largest resident memory of a call in bytes, and how many rows it kept."""
    arguments = ["dedup", str(path), "--field", "text", "--method", method, "--threshold", str(threshold)]
    done = subprocess.run(
        [sys.executable, "-c", CALL, *arguments, "--force", "--json", "-o", "/dev/null"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return 1024 * int(done.stderr.split()[-1]), json.loads(done.stdout)["num_kept"]


def measured(kind: str, texts: list[str], folder: Path, threshold: float) -> list[dict[str, Any]]:
    rows = []
    for method in METHODS:
        empty, _ = called(written(folder, ["one row"]), method, threshold)
        path = written(folder, texts)
        peak, kept = called(path, method, threshold)
        estimate = estimated_bytes([Source(path, "text")], new_index(threshold, "unicode", method))  # type: ignore[arg-type]  # one of METHODS
        row = {"texts": kind, "method": method, "num_texts": len(texts), "num_kept": kept}
        rows.append({**row, "measured_bytes": peak - empty, "estimated_bytes": int(estimate)})
        show(rows[-1])
    return rows


def show(row: dict[str, Any]) -> None:
    needed, estimate = row["measured_bytes"], row["estimated_bytes"]
    print(
        f"{row['texts']:<14}{row['method']:<7}{row['num_texts']:>9,}{row['num_kept']:>9,}{needed / 2**20:>14.1f}"
        f"{needed / row['num_kept']:>14,.0f}{estimate / 2**20:>15.1f}{estimate / needed:>8.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments = parser.parse_args()
    print(f"{'texts':<14}{'method':<7}{'rows':>9}{'kept':>9}{'measured MiB':>14}{'bytes a kept':>14}", end="")
    print(f"{'estimated MiB':>15}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        called(written(Path(folder), ["one row"]), "exact", arguments.threshold)  # which compiles the kernels
        rows = [
            row for kind in arguments.only for row in measured(kind, KINDS[kind](), Path(folder), arguments.threshold)
        ]
    print(json.dumps({"benchmark": "memory", "threshold": arguments.threshold, "rows": rows}))


if __name__ == "__main__":
    main()
