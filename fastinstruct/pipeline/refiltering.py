"""A run read anew with other filters: every stored answer is judged again, and no model is called.

    answers of the old run, in commit order ─► parse ─► heuristics ─► evaluation texts ─► pool ─► a new run's folder

The old run is only read, as it is at one moment, and may go on meanwhile. An instruction admitted in both runs keeps
its answers of stages 2 and 3, read anew; one admitted only now has none, and `fastinstruct run` asks for them; the
answers about one that is no longer admitted are stored, but nothing follows from them. So the new run depends on
answers and settings alone: refiltering back gives the old one again. One draw is excepted: which of more than
`max_instances` instances the profile `paper` keeps, where an instruction's id has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from fastinstruct import __version__
from fastinstruct.config import RunConfig, load_config
from fastinstruct.config.recording import recorded
from fastinstruct.errors import RunFolderError
from fastinstruct.escaping import package_logger
from fastinstruct.files.against import dumped, loaded
from fastinstruct.pipeline.against import Against, indexed, survey, survey_again
from fastinstruct.pipeline.calibrating import stored_threshold
from fastinstruct.pipeline.changeable import (
    AGAINST,
    TOKENIZER,
    changed_settings,
    is_given,
    of_its_version,
    refuse_disagreement,
    with_changes,
    with_exact_tokenizer,
)
from fastinstruct.pipeline.judge import Judge
from fastinstruct.pipeline.pool import TaskPool
from fastinstruct.pipeline.reading import reading_of
from fastinstruct.pipeline.rejudging import Rejudge
from fastinstruct.pipeline.telemetry import TELEMETRY
from fastinstruct.records import Api, SeedTask, Stage
from fastinstruct.replaceable import is_there
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import (
    FORMAT_VERSION,
    Commit,
    RunFolder,
    RunReader,
    RunStore,
    StoredState,
    Totals,
    api_in,
    history,
    read_manifest,
)
from fastinstruct.text.custom_filters import CustomFilter, ExampleFilter
from fastinstruct.text.prompting import PromptSet, parse_template
from fastinstruct.text.repeated_outputs import RepeatedOutputs

__all__ = ["Refiltered", "refilter"]

_COMMITS_AT_A_TIME = 2048  # one transaction each, so the disk is waited for a few times only
_NEEDED = ("template", "seed", "request", "candidate", "instruction")  # all else is made anew from these
_LOG = package_logger("fastinstruct.pipeline")
_THRESHOLD, _FILES = "stage2_threshold", "against"  # keys of a store's meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Refiltered:
    """What refiltering came to.

    Attributes:
        run, out: the old run's folder and the new one's.
        changes: key -> (old value, new value) of what differs.
        before, after: the counts of the two runs.
        num_kept, num_gained, num_lost: instructions admitted in both, in the new run only, in the old run only.
        num_left_out: requests of stages 2 and 3 about a candidate that this version does not find in its answer.
        num_to_classify, num_to_instantiate: what `fastinstruct run` will ask about: instructions that stage 2 has not
            answered, and those that only stage 3 has not.
    """

    run: Path
    out: Path
    changes: Mapping[str, tuple[Any, Any]]
    before: Totals
    after: Totals
    num_kept: int
    num_gained: int
    num_lost: int
    num_left_out: int
    num_to_classify: int
    num_to_instantiate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _OldRun:
    """What is known of the old run before its answers are read; `config` and `against` are the new run's.

    `api` is the route of stage 1.
    """

    reader: RunReader
    identity: Mapping[str, Any]
    config: RunConfig
    changes: Mapping[str, tuple[Any, Any]]
    against: Against
    api: Api
    seeds: tuple[SeedTask, ...]
    templates: Mapping[str, tuple[str, str]]
    totals: Totals

    @property
    def num_requests(self) -> int:
        """Return how many requests are stored, whatever came of them."""
        return sum(count for outcomes in self.totals.requests.values() for count in outcomes.values())


def refilter(
    run: Path,
    out: Path,
    changes: Mapping[str, Any],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    example_filter: ExampleFilter | None = None,
    skip_damaged: bool = False,
) -> Refiltered:
    """Judge every stored answer of a run again, with other settings, into a new run folder.

    Args:
        run: the old run's folder.
        out: the new run's folder, which must not exist or be empty.
        changes: dotted key -> value, as `load_config` takes flags; none is allowed, and gives the same data.
        on_progress: called now and then with how many requests of how many have been read.
        example_filter: as for `Run`; what another one rejected comes back without it.
        skip_damaged: do without damaged rows of what follows from the answers; without it, they are an error.

    Raises:
        RunFolderError: there is no such run, it is damaged, or `out` is the same folder, not empty or in use.
        ConfigError: a key is unknown, its value is out of range, or it cannot be changed.
        InputError: an evaluation file cannot be read, or is not what the run was kept away from.
        StoreError: the disk is full or fails; nothing is left in `out` then.
    """
    with RunReader(run) as reader, reader.snapshot():
        for row in reader.check(skip_damaged=skip_damaged, needed=_NEEDED):
            _LOG.warning("left out, damaged: %s; it is made anew from its answer", row)
        if is_there(out) and out.samefile(run):
            raise RunFolderError(f"{out}: is the run itself, which stays as it is; give a new folder as --out")
        old = _opened(reader, changes)
        identity = with_changes(old.identity, old.config, old.against.sha256)
        about = {"fastinstruct": __version__, "format": FORMAT_VERSION, "refiltered_from": _provenance(old)}
        if old.num_requests:
            about["answered"] = True
        with RunFolder(out, old.config.runtime.folder_bits) as folder, folder.building(identity, about) as database:
            rejudge, state = _written(old, database, on_progress, example_filter)
            folder.write("config.yaml", recorded(old.config, out))
    with RunReader(out) as new:
        after = new.totals()
    return Refiltered(
        run=run,
        out=out,
        changes=old.changes,
        before=old.totals,
        after=after,
        num_kept=rejudge.num_kept,
        num_gained=rejudge.num_gained,
        num_lost=rejudge.num_lost,
        num_left_out=rejudge.num_left_out,
        num_to_classify=len(state.to_classify),
        num_to_instantiate=len(state.to_instantiate),
    )


def _opened(reader: RunReader, changes: Mapping[str, Any]) -> _OldRun:
    """Read what the run is, and what it is to become.

    Raises:
        RunFolderError, ConfigError, InputError: as `refilter` says.
    """
    identity, file = read_manifest(reader.folder)["identity"], reader.folder / "config.yaml"
    if not is_there(file):
        raise RunFolderError(f"{reader.folder}: holds no config.yaml; resume the run once, which writes it anew")
    config = with_exact_tokenizer(of_its_version(load_config(file), identity), identity)
    refuse_disagreement(identity, config, str(file))
    try:
        apis = {stage: api_in(identity, stage) for stage in Stage}
        sha256 = dict(identity["similarity"]).get("against")
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{reader.folder / 'manifest.json'}: is damaged; restore it from a copy") from error
    changed = of_its_version(load_config(file, flags=changes), identity, changes)
    changed = with_exact_tokenizer(changed, None if is_given(TOKENIZER, changes) else identity)
    differing = changed_settings(config, changed, apis[Stage.INSTANCES], changes)
    if is_given(AGAINST, changes):
        against = survey(changed.similarity)
    else:
        against = survey_again(changed.similarity, sha256, loaded(reader.meta(_FILES)))
    if against.sha256 != sha256:  # the same texts in another place are no change
        differing[AGAINST] = (_named(config), _named(changed))
    return _OldRun(
        reader=reader,
        identity=identity,
        config=changed,
        changes=differing,
        against=against,
        api=apis[Stage.INSTRUCTIONS],
        seeds=reader.seeds(),
        templates={
            name: (sha256, source) for name, sha256, source in reader.rows("SELECT name, sha256, source FROM template")
        },
        totals=reader.totals(),
    )


def _named(config: RunConfig) -> list[dict[str, str | None]]:
    """The evaluation files, to be found from any folder."""
    return [{"path": str(file.path.absolute()), "field": file.field} for file in config.similarity.against]


def _provenance(old: _OldRun) -> dict[str, Any]:
    """Say which run the new one comes from, and how that stood; if it was refiltered itself, from which in turn."""
    canonical = json.dumps(old.identity, sort_keys=True, ensure_ascii=False)
    found: dict[str, Any] = {
        "run": str(old.reader.folder.absolute()),
        "identity_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_requests": old.num_requests,
        "num_candidates": old.totals.num_candidates,
        "num_admitted": old.totals.num_admitted,
        "num_examples": old.totals.num_examples,
        "changes": {key: list(values) for key, values in old.changes.items()},
    }
    earlier = read_manifest(old.reader.folder).get("refiltered_from")
    return found if earlier is None else {**found, "refiltered_from": earlier}


def _written(
    old: _OldRun,
    database: Path,
    on_progress: Callable[[int, int], None] | None,
    example_filter: ExampleFilter | None,
) -> tuple[Rejudge, StoredState]:
    """Write the new run's database; return what became of the old instructions, and what a run finds to do."""
    rejudge = _new_rejudge(old, example_filter)
    store = RunStore(database)
    try:
        store.begin(old.seeds, old.templates)
        # A folder's name may be no text, which SQLite would not take.
        store.begin_sitting(__version__, f"refilter of {old.reader.folder}".encode("utf-8", "replace").decode())
        for key, value in old.reader.rows("SELECT key, value FROM meta"):
            if key not in {_FILES, TELEMETRY}:
                store.set_meta(key, value)
        if old.against.files:
            store.set_meta(_FILES, dumped(old.against.files))
        for num_stored in _store_all(store, _commits(old, rejudge)):
            if on_progress is not None:
                on_progress(num_stored, old.num_requests)
        store.end_sitting("refilter")
        return rejudge, store.state()
    finally:
        store.close()


def _new_rejudge(old: _OldRun, example_filter: ExampleFilter | None) -> Rejudge:
    rows = list(old.reader.rows("SELECT text, candidate_id FROM instruction ORDER BY id"))
    seeds = [seed.instruction for seed in old.seeds]
    similarity = old.config.similarity
    index = RougeIndex(threshold=similarity.threshold, tokenizer=similarity.tokenizer)
    index.add(seeds)
    threshold = old.reader.meta(_THRESHOLD)
    most_repeated = old.config.filters.max_repeated_output
    judge = Judge(
        reading_of(old.config, old.api, _phrases(old)),
        index,
        num_seeds=len(seeds),
        rng_seed=old.config.rng_seed,
        threshold=None if threshold is None else stored_threshold(threshold, old.reader.folder / "run.db"),
        against=indexed(old.against, similarity, old.seeds),
        example_filter=None if example_filter is None else CustomFilter(example_filter),
        repeated=None if most_repeated is None else RepeatedOutputs(most_repeated),
    )
    return Rejudge(judge, TaskPool(seeds, (text for text, _ in rows)), [candidate_id for _, candidate_id in rows])


def _phrases(old: _OldRun) -> tuple[str, ...]:
    """The lines of the prompt that the run asked with, whatever the packaged one says by now."""
    if "instructions" not in old.templates:
        return ()
    source = old.templates["instructions"][1]
    template = parse_template("instructions", old.api, source, where=f"{old.reader.folder}: its stage-1 template")
    return PromptSet({"instructions": template}, classification=(), input_first=(), output_first=()).phrases()


def _commits(old: _OldRun, rejudge: Rejudge) -> Iterator[Commit]:
    for request, candidates in history(old.reader):
        commit = rejudge.settle(request, candidates)
        if commit is not None:
            yield commit


def _store_all(store: RunStore, commits: Iterator[Commit]) -> Iterator[int]:
    """Store in large transactions, judging the next while one is written; yield how many commits that makes so far."""
    writing: Future[None] | None = None
    num_stored = 0
    while some := list(islice(commits, _COMMITS_AT_A_TIME)):
        if writing is not None:
            writing.result()
        writing = store.submit(some)
        num_stored += len(some)
        yield num_stored
    if writing is not None:
        writing.result()
