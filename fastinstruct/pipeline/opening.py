"""The order in which a session opens, and closes again whatever happens.

prices, identity of a run that goes on, preparation     files are read, nothing is held
folder, store, monitor                                  the run is ours alone from here on
indexes (in the similarity thread) | fleet              side by side
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from fastinstruct._version import __version__
from fastinstruct.config import RunConfig
from fastinstruct.config.recording import recorded
from fastinstruct.errors import Aborted
from fastinstruct.files.against import dumped
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.prices import find_prices
from fastinstruct.pipeline.budget.stop_rules import Stop
from fastinstruct.pipeline.control import Control
from fastinstruct.pipeline.decontamination import indexed
from fastinstruct.pipeline.identity import as_begun, begun_identity
from fastinstruct.pipeline.models.connect import connected
from fastinstruct.pipeline.monitoring.monitor import Monitor, open_monitor
from fastinstruct.pipeline.monitoring.watchdog import Watchdog
from fastinstruct.pipeline.preparation import Preparation, prepare
from fastinstruct.pipeline.recipes import recipe_of
from fastinstruct.pipeline.session import InterruptedSession, Listeners, Opening, Session
from fastinstruct.similarity import Interruption, RougeIndex, warm_up
from fastinstruct.store import FORMAT_VERSION, MetaKey, RunFolder, RunReader, RunStore, StoredState
from fastinstruct.text.seeds import kind_notice

__all__ = ["Indexes", "built", "opened"]

_INDEXING, _COMPILING = "indexing the pool", "compiling the kernels, once for this version"  # phases, for a person
_ABOUT = {"fastinstruct": __version__, "format": FORMAT_VERSION}


@asynccontextmanager
async def opened(opening: Opening, control: Control, listeners: Listeners) -> AsyncIterator[Session]:
    """Yield a session with everything open; whatever happens, all of it is closed again.

    Raises:
        InputError: seeds, configuration or run folder are unusable.
        EmbeddedModelError: llama.cpp cannot load the model.
        InterruptedSession: it was told to end before everything was open.
        StoreError: the disk is full or fails.
    """
    began_at = time.monotonic()
    control.bind()
    async with AsyncExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="fastinstruct-similarity"))
        stack.callback(control.comparing.set)
        preparation, prices = await _prepared(opening)
        folder = stack.enter_context(RunFolder(opening.folder, preparation.config.runtime.folder_bits))
        if opening.restart and (earlier := await asyncio.to_thread(folder.set_aside)):
            listeners.on_note(f"starts over; what was there is in {earlier}")
        await asyncio.to_thread(folder.claim, preparation.identity(), _ABOUT)
        store = await asyncio.to_thread(lambda: RunStore(folder.prepare_database(), folder))
        stack.callback(store.close)
        await asyncio.to_thread(_begin, folder, store, preparation)
        is_sample = opening.sample is not None
        open_gauges = partial(open_monitor, preparation, prices, folder.path, store, is_sample=is_sample)
        monitor = await asyncio.to_thread(open_gauges)
        listeners.on_open(preparation, prices, monitor)
        state = await asyncio.to_thread(store.state, preparation.recipe.names)
        if notice := kind_notice(preparation.seeds):
            listeners.on_note(notice)
        compiling = threading.Event()
        build = partial(built, preparation, state, control.comparing, partial(_now_compiling, control, compiling))
        indexing = asyncio.get_running_loop().run_in_executor(thread, build)
        await _emit_stored(opening.folder, listeners)
        is_local = any(model.embedded for model in preparation.models.values())
        control.enter("loading the model" if is_local else "connecting")
        fleet = await stack.enter_async_context(connected(preparation, opening.env))
        control.enter(_COMPILING if compiling.is_set() else _INDEXING)
        indexes = await indexing
        if indexes is None:
            raise InterruptedSession
        index, against = indexes
        yield Session(
            opening=opening,
            control=control,
            listeners=listeners,
            preparation=preparation,
            store=store,
            state=state,
            monitor=monitor,
            index=index,
            against=against,
            thread=thread,
            fleet=fleet,
            watchdog=_new_watchdog(preparation.config, store, monitor, fleet, control),
            began_at=began_at,
        )


def _now_compiling(control: Control, compiling: threading.Event) -> None:
    """Say so, in the similarity thread, unless the servers are waited for, too."""
    compiling.set()
    if control.phase == _INDEXING:
        control.enter(_COMPILING)


async def _prepared(opening: Opening) -> tuple[Preparation, Mapping[str, Price | None]]:
    """Read what the run is made of, and what it costs; of a run that goes on, as it was begun."""
    recipe = opening.recipe or recipe_of(opening.config)
    prices = await asyncio.to_thread(find_prices, opening.config, recipe.names)
    begun = None if opening.restart else await asyncio.to_thread(begun_identity, opening.folder)
    config = opening.config if begun is None else as_begun(opening.config, begun)
    prepared = partial(prepare, config, opening.env, begun, recipe=opening.recipe)
    return await asyncio.to_thread(prepared), prices


def _begin(folder: RunFolder, store: RunStore, preparation: Preparation) -> None:
    """Record what a new run starts from, and keep this session's configuration."""
    templates = preparation.prompts.templates
    sources = {name: (template.sha256, template.source) for name, template in templates.items()}
    store.begin(preparation.seeds, sources, preparation.recipe.names)
    if preparation.against.files:
        store.set_meta(MetaKey.AGAINST, dumped(preparation.against.files))
    folder.write("config.yaml", recorded(preparation.config, folder.path))


async def _emit_stored(folder: Path, listeners: Listeners) -> None:
    if listeners.on_example is None:
        return
    with RunReader(folder) as reader:
        for example in reader.examples():
            await listeners.on_example(example)


def _new_watchdog(config: RunConfig, store: RunStore, monitor: Monitor, fleet: Fleet, control: Control) -> Watchdog:
    def end(stop: Stop) -> None:
        if monitor.counters.remaining.is_any:
            control.heed(stop)
        else:  # all is done already
            control.end_work()

    record = partial(store.note_meta, MetaKey.TELEMETRY)
    most = config.runtime.max_memory_mib
    return Watchdog(fleet, record=record, end=end, on_look=monitor.look, max_memory_mib=most)


Indexes = tuple[RougeIndex, RougeIndex | None]


def built(
    preparation: Preparation, state: StoredState, interruption: Interruption, on_compile: Callable[[], None]
) -> Indexes | None:
    """Load or compile the kernels, index pool and evaluation texts; None where that was interrupted.

    Raises:
        InputError: an evaluation file is gone, or no longer what it was.
    """
    similarity = preparation.config.similarity
    try:
        warm_up(interruption, on_compile)  # first of all: whatever else compiles is told as a warning
        index = RougeIndex(similarity.threshold, similarity.tokenizer, interruption=interruption)
        index.add([*(seed.instruction for seed in preparation.seeds), *state.instructions])
        return index, indexed(preparation.against, similarity, preparation.seeds, interruption)
    except Aborted:
        return None
