"""The task pool: seed tasks and admitted instructions, and which of them a prompt shows.

Knows nothing of models or stores. Position 0 is the first seed; machine-generated instructions follow the seeds in
order of admission. Sampling depends on the pool, the run's seed and the request's number alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence

__all__ = ["TaskPool", "random_stream", "request_seed"]


def random_stream(rng_seed: int, stage: str, number: int) -> random.Random:
    """Return the random generator of one request: its own, so that no other request's draws shift it."""
    return random.Random(_name(rng_seed, stage, number))


def request_seed(rng_seed: int, stage: str, number: int) -> int:
    """Return the seed that a server samples one request's reply by, below 2**31: as many servers take."""
    digest = hashlib.sha256(_name(rng_seed, stage, number).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _name(rng_seed: int, stage: str, number: int) -> str:
    return f"fastinstruct:{rng_seed}:{stage}:{number}"


class TaskPool:
    """Instructions by position; it only grows."""

    def __init__(self, seeds: Sequence[str], machine_generated: Iterable[str] = ()) -> None:
        self.num_seeds = len(seeds)
        self._texts = [*seeds, *machine_generated]

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, position: int) -> str:
        return self._texts[position]

    def append(self, text: str) -> None:
        """Let an admitted instruction join."""
        self._texts.append(text)

    def sample(self, rng: random.Random, num: int, num_machine: int) -> tuple[int, ...]:
        """Draw positions for a prompt, without replacement and shuffled.

        `num_machine` of them are machine-generated where there are so many, the others seeds; where the seeds do not
        suffice, more machine-generated ones fill up, and with a small pool there are simply fewer.

        Source: Self-Instruct (arXiv:2212.10560), section 2.2: six human-written and two model-written tasks.
        """
        machine = range(self.num_seeds, len(self._texts))
        from_seeds = min(self.num_seeds, num - min(num_machine, len(machine)))
        from_machine = min(len(machine), num - from_seeds)
        drawn = rng.sample(range(self.num_seeds), from_seeds) + rng.sample(machine, from_machine)
        rng.shuffle(drawn)
        return tuple(drawn)
