"""From answers to acknowledged commits: in order, durable first, and no failure leaves anybody waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from fastinstruct.errors import StoreError
from fastinstruct.lm import Deadline, Request
from fastinstruct.lm.scheduling.scheduler import Delivery, Job
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.commit.committer import Committer
from fastinstruct.pipeline.stages.base import Task
from fastinstruct.records import Sampling
from fastinstruct.store import Commit, RequestRow, RunReader, RunStore


def delivery(number: int) -> Delivery[Task]:
    task = Task(stage="instructions", number=number, template="instructions")
    request = Request(key=str(number), prompt="", sampling=Sampling())
    return Delivery(job=Job(request=request, about=task), outcome=Deadline(), failed=(), latency_s=0)


@dataclass
class FakeJudge:
    """Gives each delivery a commit with its number; holds its thread while `gate` is closed."""

    batches: list[list[int]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    failing: frozenset[int] = frozenset()

    def settle(self, deliveries: Sequence[Delivery[Task]]) -> list[Commit]:
        numbers = [one.job.about.number for one in deliveries]
        self.batches.append(numbers)
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(30)
        if self.failing & set(numbers):
            raise ZeroDivisionError("judge")
        return [
            Commit(
                request=RequestRow(id=n + 1, stage="instructions", number=n, template="t", in_context=(), outcome="ok")
            )
            for n in numbers
        ]


@dataclass
class FakeStore:
    """Acknowledges when told to."""

    submitted: list[tuple[list[int], Future[None]]] = field(default_factory=list)

    def submit(self, commits: Sequence[Commit]) -> Future[None]:
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        self.submitted.append(([commit.request.number for commit in commits], future))
        return future

    @property
    def numbers(self) -> list[list[int]]:
        return [numbers for numbers, _ in self.submitted]

    def acknowledge(self, batch: int, error: Exception | None = None) -> None:
        future = self.submitted[batch][1]
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


@dataclass
class Desk:
    """A committer with fakes around it; `acted` holds the numbers that took effect, in order."""

    judge: FakeJudge
    store: FakeStore
    committer: Committer
    acted: list[int]
    slow: dict[int, asyncio.Event]
    failing: dict[int, Exception]

    def deliver(self, number: int) -> asyncio.Task[None]:
        return asyncio.create_task(self.committer.deliver(delivery(number)))


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, thread_name_prefix="judge") as pool:
        yield pool


@pytest.fixture
async def desk(thread: ThreadPoolExecutor) -> AsyncIterator[Desk]:
    acted: list[int] = []
    slow: dict[int, asyncio.Event] = {}
    failing: dict[int, Exception] = {}

    async def act(handed: Delivery[Task], commit: Commit) -> None:
        number = handed.job.about.number
        assert commit.request.number == number
        if number in failing:
            raise failing[number]
        if number in slow:
            await slow[number].wait()
        acted.append(number)

    judge, store = FakeJudge(), FakeStore()
    committer = Committer(cast(Admission, judge), cast(RunStore, store), (act,), thread)
    yield Desk(judge, store, committer, acted, slow, failing)
    judge.gate.set()
    await committer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - threads and fakes have no event to wait for
            await asyncio.sleep(0)


async def settle_down() -> None:
    """Let everything happen that can without anybody's help."""
    for _ in range(50):
        await asyncio.sleep(0)


async def two_batches(desk: Desk) -> tuple[asyncio.Task[None], asyncio.Task[None], asyncio.Task[None]]:
    """Deliver 0 by itself, then 1 and 2, which come while 0 is judged; both batches are submitted to the store."""
    first = desk.deliver(0)
    await until(lambda: desk.judge.batches == [[0]])
    second, third = desk.deliver(1), desk.deliver(2)
    await asyncio.sleep(0)
    desk.judge.gate.set()
    await until(lambda: len(desk.store.submitted) == 2)
    return first, second, third


async def failures(*tasks: asyncio.Future[None]) -> list[BaseException | None]:
    async with asyncio.timeout(30):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_answers_that_come_while_others_are_judged_form_the_next_batch(desk: Desk) -> None:
    await two_batches(desk)
    assert desk.judge.batches == [[0], [1, 2]]
    assert desk.store.numbers == [[0], [1, 2]]


async def test_nothing_is_acted_upon_before_it_is_durable(desk: Desk) -> None:
    tasks = await two_batches(desk)
    await settle_down()
    assert desk.acted == []
    desk.store.acknowledge(0)
    await tasks[0]
    await settle_down()
    assert desk.acted == [0]
    assert not tasks[1].done()
    desk.store.acknowledge(1)
    assert await failures(*tasks) == [None, None, None]
    assert desk.acted == [0, 1, 2]


async def test_the_next_batch_is_judged_while_one_is_forced_to_disk(desk: Desk) -> None:
    await two_batches(desk)
    assert desk.acted == []
    assert not any(future.done() for _, future in desk.store.submitted)


async def test_what_takes_effect_slowly_is_not_overtaken(desk: Desk) -> None:
    """Instructions are numbered as they join the pool: were two commits swapped, they would swap their ids."""
    desk.slow[0] = asyncio.Event()
    tasks = await two_batches(desk)
    desk.store.acknowledge(0)
    desk.store.acknowledge(1)
    await settle_down()
    assert desk.acted == []
    desk.slow[0].set()
    assert await failures(*tasks) == [None, None, None]
    assert desk.acted == [0, 1, 2]


async def test_acknowledgements_that_come_in_another_order_change_nothing(desk: Desk) -> None:
    tasks = await two_batches(desk)
    desk.store.acknowledge(1)
    await settle_down()
    assert desk.acted == []
    desk.store.acknowledge(0)
    assert await failures(*tasks) == [None, None, None]
    assert desk.acted == [0, 1, 2]


async def test_all_judging_happens_in_one_thread(desk: Desk) -> None:
    await two_batches(desk)
    assert desk.judge.threads == {"judge_0"}


async def test_a_store_failure_reaches_everybody_and_nothing_is_acted_upon(desk: Desk) -> None:
    tasks = await two_batches(desk)
    full = StoreError("the disk is full")
    desk.store.acknowledge(0, full)
    desk.store.acknowledge(1, full)
    assert await failures(*tasks) == [full, full, full]
    assert await failures(desk.deliver(3)) == [full]
    assert desk.acted == []
    assert desk.store.numbers == [[0], [1, 2]]


async def test_after_a_gap_nothing_is_acted_upon_even_if_the_store_takes_it(desk: Desk) -> None:
    tasks = await two_batches(desk)
    full = StoreError("the disk is full")
    desk.store.acknowledge(0, full)
    desk.store.acknowledge(1)
    assert await failures(*tasks) == [full, full, full]
    assert desk.acted == []


async def test_after_a_failure_of_the_judge_nothing_more_is_stored(desk: Desk) -> None:
    """What it judged but did not return may be in the index already: later ids would not be the store's."""
    desk.judge.failing = frozenset({1})
    first = desk.deliver(0)
    await until(lambda: desk.judge.batches == [[0]])
    second = desk.deliver(1)
    await asyncio.sleep(0)
    desk.judge.gate.set()
    assert [str(error) for error in await failures(second)] == ["judge"]
    assert [str(error) for error in await failures(desk.deliver(2))] == ["judge"]
    assert desk.store.numbers == [[0]]
    desk.store.acknowledge(0)
    assert await failures(first) == [None]
    assert desk.acted == [0]


async def test_after_a_failure_to_act_answers_are_stored_but_not_acted_upon(desk: Desk) -> None:
    desk.failing[0] = ZeroDivisionError("listener")
    tasks = await two_batches(desk)
    desk.store.acknowledge(0)
    desk.store.acknowledge(1)
    assert [str(error) for error in await failures(*tasks)] == ["listener"] * 3
    late = desk.deliver(3)
    await until(lambda: len(desk.store.submitted) == 3)
    desk.store.acknowledge(2)
    assert [str(error) for error in await failures(late)] == ["listener"]
    assert desk.acted == []
    assert desk.store.numbers == [[0], [1, 2], [3]]


async def test_a_waiter_that_is_cancelled_disturbs_nobody_and_its_commit_takes_effect(desk: Desk) -> None:
    first, second, third = await two_batches(desk)
    second.cancel()
    await settle_down()
    desk.store.acknowledge(0)
    desk.store.acknowledge(1)
    assert await failures(first, third) == [None, None]
    assert second.cancelled()
    assert desk.acted == [0, 1, 2]


async def test_all_waiters_may_be_cancelled_while_their_batch_is_judged(desk: Desk) -> None:
    first = desk.deliver(0)
    await until(lambda: desk.judge.batches == [[0]])
    first.cancel()
    await settle_down()
    desk.judge.gate.set()
    await until(lambda: len(desk.store.submitted) == 1)
    desk.store.acknowledge(0)
    await until(lambda: desk.acted == [0])
    assert first.cancelled()


async def test_closing_releases_everybody_and_nothing_takes_effect_afterwards(desk: Desk) -> None:
    tasks = await two_batches(desk)
    desk.store.acknowledge(0)
    desk.slow[0] = asyncio.Event()
    await settle_down()
    await desk.committer.close()
    assert all(isinstance(error, asyncio.CancelledError) for error in await failures(*tasks))
    desk.slow[0].set()
    desk.store.acknowledge(1)
    await settle_down()
    assert desk.acted == []
    await desk.committer.close()
    with pytest.raises(StoreError, match="closed"):
        await desk.committer.deliver(delivery(5))


async def test_closing_releases_a_waiter_that_came_in_the_same_instant(desk: Desk) -> None:
    desk.judge.gate.set()
    waiting = desk.deliver(0)
    await asyncio.sleep(0)
    await desk.committer.close()
    [error] = await failures(waiting)
    assert isinstance(error, asyncio.CancelledError)
    assert desk.judge.batches == []


async def test_closing_while_the_judge_works_drops_what_it_judges(desk: Desk) -> None:
    first = desk.deliver(0)
    await until(lambda: desk.judge.batches == [[0]])
    second = desk.deliver(1)
    await settle_down()
    await desk.committer.close()
    assert all(isinstance(error, asyncio.CancelledError) for error in await failures(first, second))
    desk.judge.gate.set()
    await settle_down()
    assert desk.store.submitted == []


def test_a_loop_that_ends_meanwhile_does_not_hang(thread: ThreadPoolExecutor) -> None:
    async def act(_: Delivery[Task], __: Commit) -> None:
        raise AssertionError

    judge, store = FakeJudge(), FakeStore()

    async def main() -> None:
        committer = Committer(cast(Admission, judge), cast(RunStore, store), (act,), thread)
        kept = asyncio.create_task(committer.deliver(delivery(0)))
        await until(lambda: len(store.submitted) == 1)
        assert not kept.done()

    judge.gate.set()
    asyncio.run(main())
    store.acknowledge(0)


async def test_with_a_real_store_everything_is_stored_in_the_order_it_took_effect(
    thread: ThreadPoolExecutor, tmp_path: Path
) -> None:
    judge, acted = FakeJudge(), list[int]()
    judge.gate.set()
    store = RunStore(tmp_path / "run.db")

    async def act(handed: Delivery[Task], _: Commit) -> None:
        with RunReader(tmp_path) as reader:
            [(found,)] = reader.rows("SELECT count(*) FROM request WHERE number = ?", (handed.job.about.number,))
        assert found == 1
        acted.append(handed.job.about.number)

    committer = Committer(cast(Admission, judge), store, (act,), thread)
    await asyncio.gather(*(committer.deliver(delivery(number)) for number in range(100)))
    await committer.close()
    await asyncio.to_thread(store.close)
    with RunReader(tmp_path) as reader:
        assert [number for (number,) in reader.rows("SELECT number FROM request ORDER BY rowid")] == acted
    assert acted == list(range(100))
