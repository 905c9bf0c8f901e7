"""The two indexes of a run: the pool that it admits into, and the evaluation texts that it keeps away from."""

from __future__ import annotations

from fastinstruct.errors import Aborted
from fastinstruct.pipeline.against import indexed
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.similarity import Interruption, RougeIndex, warm_up
from fastinstruct.store import StoredState

__all__ = ["Indexes", "built"]

Indexes = tuple[RougeIndex, RougeIndex | None]


def built(preparation: Preparation, state: StoredState, interruption: Interruption) -> Indexes | None:
    """Load or compile the kernels, index pool and evaluation texts; None where that was interrupted.

    Raises:
        InputError: an evaluation file is gone, or no longer what it was.
    """
    warm_up()
    similarity = preparation.config.similarity
    index = RougeIndex(similarity.threshold, similarity.tokenizer, interruption=interruption)
    try:
        index.add([*(seed.instruction for seed in preparation.seeds), *state.instructions])
        return index, indexed(preparation.against, similarity, preparation.seeds, interruption)
    except Aborted:
        return None
