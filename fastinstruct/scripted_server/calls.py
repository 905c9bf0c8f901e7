"""One request that asks the model, from its arrival to its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastinstruct.scripted_server.connections import Connection
    from fastinstruct.scripted_server.log import LogEntry
    from fastinstruct.scripted_server.shapes import Ask, Reply

__all__ = ["Call", "Place"]


class Place(Enum):
    """Where a request stands: at the door or gone, in the queue, or in a slot."""

    OUTSIDE = 0
    WAITING = 1
    SERVING = 2


@dataclass(slots=True, eq=False)
class Call:
    """A request being answered; `reply` is what the model says, unless a fault comes between."""

    connection: Connection
    entry: LogEntry
    ask: Ask | None = None
    reply: Reply | None = None
    place: Place = Place.OUTSIDE
