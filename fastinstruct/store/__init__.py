"""One durable run: its folder, its SQLite database, one writer and any number of readers.

Knows nothing of models, prompts or similarity. Guarantees: what `RunStore.submit` has acknowledged survives SIGKILL
and power loss, commits are applied in the order they were submitted, and two writers never share a folder.
"""

from __future__ import annotations

from fastinstruct.store.draws import damaged_draw
from fastinstruct.store.folder import RunFolder, read_manifest
from fastinstruct.store.history import history
from fastinstruct.store.identities import api_in, exact_identity, model_in
from fastinstruct.store.meta import MetaKey
from fastinstruct.store.reader import RunReader, StageUsage, Totals
from fastinstruct.store.recent import Finished, finished, recent
from fastinstruct.store.rows import (
    ANSWERED,
    FINAL,
    READ,
    AnnotationRow,
    AttemptRow,
    CandidateRow,
    Commit,
    DrawRow,
    InstanceRow,
    InstructionRow,
    PendingDraw,
    RequestRow,
    StoredState,
)
from fastinstruct.store.run_store import RunStore
from fastinstruct.store.schema import FORMAT_VERSION, damaged_meta, has_answers
from fastinstruct.store.without_examples import WithoutExample, without_examples

__all__ = [
    "ANSWERED",
    "FINAL",
    "FORMAT_VERSION",
    "READ",
    "AnnotationRow",
    "AttemptRow",
    "CandidateRow",
    "Commit",
    "DrawRow",
    "Finished",
    "InstanceRow",
    "InstructionRow",
    "MetaKey",
    "PendingDraw",
    "RequestRow",
    "RunFolder",
    "RunReader",
    "RunStore",
    "StageUsage",
    "StoredState",
    "Totals",
    "WithoutExample",
    "api_in",
    "damaged_draw",
    "damaged_meta",
    "exact_identity",
    "finished",
    "has_answers",
    "history",
    "model_in",
    "read_manifest",
    "recent",
    "without_examples",
]
