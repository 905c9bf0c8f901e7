"""Which tasks a prompt shows: six seeds and two machine-generated ones where there are so many, the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.pipeline.pool.task_pool import TaskPool, random_stream, request_seed


def pool(num_seeds: int, num_machine: int) -> TaskPool:
    return TaskPool([f"seed {n}" for n in range(num_seeds)], [f"machine {n}" for n in range(num_machine)])


def sample(of: TaskPool, number: int = 0, num: int = 8, num_machine: int = 2) -> tuple[int, ...]:
    return of.sample(random_stream(0, "instructions", number), num, num_machine)


def kinds(of: TaskPool, positions: tuple[int, ...]) -> tuple[int, int]:
    """Return how many of these are seeds, and how many machine-generated."""
    num_seeds = sum(position < of.num_seeds for position in positions)
    return num_seeds, len(positions) - num_seeds


@pytest.mark.parametrize(
    ("num_seeds", "num_machine", "drawn"),
    [
        (175, 0, (8, 0)),  # nothing generated yet: eight seeds
        (175, 1, (7, 1)),
        (175, 2, (6, 2)),
        (175, 50_000, (6, 2)),
        (3, 100, (3, 5)),  # few seeds: machine-generated tasks fill up
        (1, 0, (1, 0)),
        (1, 2, (1, 2)),
        (3, 3, (3, 3)),  # a small pool shows all it has
    ],
)
def test_a_prompt_shows_six_seeds_and_two_machine_generated_tasks_where_there_are_so_many(
    num_seeds: int, num_machine: int, drawn: tuple[int, int]
) -> None:
    of = pool(num_seeds, num_machine)
    assert kinds(of, sample(of)) == drawn


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 20), st.integers(0, 20), st.integers(0, 5))
def test_a_sample_holds_each_task_once_and_as_many_as_asked_for(
    num_seeds: int, num_machine: int, num: int, num_from_machine: int, number: int
) -> None:
    of, num_from_machine = pool(num_seeds, num_machine), min(num, num_from_machine)
    drawn = sample(of, number, num, num_from_machine)
    assert len(set(drawn)) == len(drawn) == min(num, num_seeds + num_machine)
    assert all(0 <= position < len(of) for position in drawn)
    assert kinds(of, drawn)[1] >= min(num_from_machine, num_machine)


def test_positions_are_seeds_first_and_then_in_order_of_admission() -> None:
    of = pool(2, 1)
    of.append("machine 1")
    assert [of[position] for position in range(len(of))] == ["seed 0", "seed 1", "machine 0", "machine 1"]
    assert of.num_seeds == 2


def test_a_sample_depends_on_seed_stage_number_and_pool_alone() -> None:
    of = pool(175, 20)
    assert sample(of, 7) == sample(pool(175, 20), 7)
    streams = [
        random_stream(0, "instructions", 7),
        random_stream(1, "instructions", 7),
        random_stream(0, "instructions", 8),
        random_stream(0, "instances", 7),
    ]
    assert len({of.sample(stream, 8, 2) for stream in streams}) == 4


def test_a_sample_is_the_same_in_every_process() -> None:
    """Python's own hashes differ from process to process; a run that is resumed must not."""
    script = (
        "from fastinstruct.pipeline.pool.task_pool import TaskPool, random_stream; "
        "print(TaskPool(['s'] * 175, ['m'] * 20).sample(random_stream(0, 'instructions', 7), 8, 2))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{sample(pool(175, 20), 7)}\n".encode()}


def test_seeds_and_machine_generated_tasks_are_mixed() -> None:
    """A place in the prompt does not tell which kind of task it shows."""
    of = pool(175, 20)
    places = Counter(
        place for number in range(2000) for place, position in enumerate(sample(of, number)) if position >= 175
    )
    assert sorted(places) == list(range(8))
    assert min(places.values()) > 400  # of 500 on average


def test_every_task_has_the_same_chance() -> None:
    of = pool(30, 10)
    drawn = Counter(position for number in range(3000) for position in sample(of, number))
    assert min(drawn[position] for position in range(30)) > 520  # of 600 on average
    assert min(drawn[position] for position in range(30, 40)) > 520
    assert max(drawn.values()) < 680


def test_a_request_has_a_seed_of_its_own_that_any_server_takes() -> None:
    """Written out: a run that goes on with a later version must ask as it would have."""
    asked = [
        (0, "instructions", 7),
        (1, "instructions", 7),
        (0, "instructions", 8),
        (0, "instances", 7),
    ]
    assert [request_seed(*about) for about in asked] == [1801721511, 1308971403, 1393314220, 384250328]
    assert all(0 <= request_seed(5, "classification", number) < 2**31 for number in range(1000))
