"""What a parser says of a reply: what is certain, what is not, and what nothing explains.

Knows nothing of how replies are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from fastinstruct.records import RejectReason

__all__ = ["Parsed"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed(Generic[T]):
    """What was read out of a reply.

    Attributes:
        kept: the items whose fields and borders are certain, in the order of the reply; no filter has seen them.
        rejected: what was recognised as an item and is not certain, in the order of the reply, each with its reason.
        rest: the lines of the reply that nothing explains; "" if all of it is an item, or said around items.
        stumbled_over: what kept the reply, or a part of it, from being read: a few words of ours and the beginning of
            the place, in quotes; "" if nothing did.
    """

    kept: tuple[T, ...] = ()
    rejected: tuple[tuple[T, RejectReason], ...] = ()
    rest: str = ""
    stumbled_over: str = ""

    @property
    def is_unreadable(self) -> bool:
        """Whether the reply gave nothing at all, neither kept nor rejected."""
        return not self.kept and not self.rejected
