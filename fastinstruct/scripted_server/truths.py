"""What a careful reader would take from a reply of the scripted server, and what nobody should.

Knows nothing of how replies are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fastinstruct.records import Instance

__all__ = ["Row", "Truth"]

Row: TypeAlias = str | Instance | bool
"""An instruction, an instance or the answer of stage 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The rows of one reply, whole ones only, in the order of the reply; of these lists, one holds any.

    `style` is how it was written ("json" before it where JSON was asked for); `answers` hold what stage 2 said, once.
    `marker_like` are the places of the rows whose content looks like a marker; `never` holds the texts of drafts, torn
    rows and other tasks, which no row may hold.
    """

    style: str
    instructions: tuple[str, ...] = ()
    answers: tuple[bool, ...] = ()
    instances: tuple[Instance, ...] = ()
    marker_like: tuple[int, ...] = ()
    never: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, whatever they are."""
        return self.instructions or self.instances or self.answers
