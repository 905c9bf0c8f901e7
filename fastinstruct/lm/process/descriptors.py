"""How many sockets this process may open: its descriptor limit, raised as far as the system lets us.

Knows nothing of endpoints or requests. Guarantees: the limit is never lowered, and a system that has none, or that
refuses, is no failure.
"""

from __future__ import annotations

__all__ = ["RESERVE", "allowed", "raise_to"]

RESERVE = 64
"""Descriptors for all that is no request's socket: files, pipes, the database, the listening socket."""


def allowed(*, raised: bool = False) -> int | None:
    """Return how many descriptors this process may have open, or could after `raise_to`; None where nothing limits."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if raised else soft
    return None if limit == resource.RLIM_INFINITY else limit


def raise_to(num_wanted: int) -> int | None:
    """Raise the soft limit to what is wanted, or as near as the hard one allows; return it, None where none is."""
    soft, hard = allowed(), allowed(raised=True)
    if soft is None or soft >= num_wanted:
        return soft
    import resource

    told = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # as the system writes it, infinity included
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_wanted if hard is None else min(num_wanted, hard), told))
    except (OSError, ValueError):  # macOS says infinity and means less
        return soft
    return allowed()
