"""How the exact index does as its pool grows: time and memory per text, from `str` to verdict.

Texts come from benchmarks/markov.py, in batches as large as a caller's would be; making them isn't timed, and neither
is compiling. A table for people, one JSON document as the last line.

    python -m benchmarks.similarity.growth                  # 10 thousand to 1 million texts
    python -m benchmarks.similarity.growth --largest 10000000 --threads 2
"""

import argparse
import gc
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import benchmarks.similarity.markov as markov
from fastinstruct.similarity import RougeIndex, warm_up

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def resident_bytes() -> int:
    """Memory of this process, as the kernel counts it; 0 where it doesn't say."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0
    return int(status.read_text().split()[1]) * 4096


def batches(chain: markov.Chain, count: int, size: int) -> Iterator[list[str]]:
    """The texts in batches of `size`."""
    waiting: list[str] = []
    for block in markov.blocks(chain, count):
        waiting += block
        whole = len(waiting) // size * size
        yield from (waiting[first : first + size] for first in range(0, whole, size))
        del waiting[:whole]
    if waiting:
        yield waiting


def stream(chain: markov.Chain, sizes: list[int], batch_size: int, threads: int) -> list[dict[str, float]]:
    """One pool grown to the largest size; what it had cost at each."""
    # What any batch needs in passing, and the making of texts, is memory that stays: it isn't the pool's.
    RougeIndex(tokenizer="rouge", threads=threads).admit(next(batches(chain, batch_size, batch_size)))
    index = RougeIndex(tokenizer="rouge", threads=threads)
    memory = resident_bytes()
    times, cpu = np.zeros(sizes[-1] // batch_size + 1), 0.0
    rows: list[dict[str, float]] = []
    done = 0
    for number, texts in enumerate(batches(chain, sizes[-1], batch_size)):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        index.admit(texts)
        times[number] = time.perf_counter() - begin
        cpu += time.process_time() - cpu_begin
        done += len(texts)
        if len(rows) < len(sizes) and done >= sizes[len(rows)]:
            last = slice(number + 1 - max(1, (number + 1) // 10), number + 1)
            rows.append(
                {
                    "texts": done,
                    "pool": len(index),
                    "mean_us": 1e6 * float(times[: number + 1].sum()) / done,
                    "cpu_mean_us": 1e6 * cpu / done,
                    "last_tenth_us": 1e6 * float(times[last].mean()) / batch_size,
                    "bytes_per_pool_text": (resident_bytes() - memory) / len(index),
                    "bytes_per_text": (resident_bytes() - memory) / done,
                }
            )
            show(rows[-1])
    return rows


def show(row: dict[str, float]) -> None:
    print(
        f"{row['texts']:>12,.0f} {row['pool']:>12,.0f} {row['mean_us']:>10.2f} {row['cpu_mean_us']:>7.2f} "
        f"{row['last_tenth_us']:>14.2f} {row['bytes_per_pool_text']:>16.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=4_096)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    warm_up()
    compiling = time.perf_counter() - begin
    chain = markov.build_chain(markov.corpus())
    gc.collect()
    gc.freeze()  # or some batch pays 0.1 s for a look at the chain's objects
    sizes = [size for size in SIZES if size < arguments.largest] + [arguments.largest]
    print(f"compiling or loading the kernels: {compiling:.2f} s")
    print(f"{'texts':>12} {'pool':>12} {'us a text':>10} {'CPU us':>7} {'last 10 %, us':>14} {'bytes/pool text':>16}")
    rows = stream(chain, sizes, arguments.batch, arguments.threads)
    print(
        json.dumps(
            {
                "benchmark": "growth",
                "threads": arguments.threads,
                "batch": arguments.batch,
                "near_duplicates": markov.NEAR_DUPLICATES,
                "compile_s": compiling,
                "machine": platform.machine(),
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
