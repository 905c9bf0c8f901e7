"""How much room a list of postings has: the sizes of rooms, and their kinds.

Knows nothing of where rooms are. Rooms have 1 to 8, then 10, 12, 14, 16, 20, 24, 28, 32 ... postings: four to a
doubling, so none is more than a quarter larger than the one before. They are numbered by size, from kind 0 on.
"""

from fastinstruct_kernels._jit import inlined_kernel

NUM_KINDS = 128


@inlined_kernel
def next_room(size: int) -> int:
    """What room a list of that size moves to before it can grow; 0 if it needn't."""
    last = size & -size
    if size > 7 * last:
        return 0
    if size == last:
        return size + max(size // 4, 1)
    return size + max(last // 2, 1) if size == 3 * last else size + last


@inlined_kernel
def room_for(size: int) -> int:
    """The room of a list of that size; 0 of an empty one."""
    shift = 0
    while (size - 1) >> shift >= 8:
        shift += 1
    return (((size - 1) >> shift) + 1) << shift


@inlined_kernel
def largest_room(size: int) -> int:
    """The largest room that takes no more than that, 1 at least."""
    shift = 0
    while size >> shift >= 16:
        shift += 1
    return size if size <= 8 else ((size >> shift) & ~1) << shift


@inlined_kernel
def room_kind(room: int) -> int:
    """The kind of a room."""
    kind = 0
    while room > 7:
        room //= 2
        kind += 4
    return kind + room - 1


@inlined_kernel
def room_of(kind: int) -> int:
    """The room of a kind."""
    return kind + 1 if kind < 8 else (8 + 2 * ((kind - 7) % 4)) << ((kind - 7) // 4)
