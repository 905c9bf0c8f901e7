"""What this machine allows a run, looked at before the first request: sockets, and aiohttp's compiled parser.

Knows nothing of endpoints' own limits. Guarantees: what falls short is said once, as a warning, with what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastinstruct.config import RunConfig
from fastinstruct.escaping import package_logger
from fastinstruct.lm import has_c_parser
from fastinstruct.lm.process import descriptors

__all__ = ["bearable", "descriptors_for", "num_endpoints", "warn_of_slow_parser"]

_LOG = package_logger("fastinstruct.pipeline")


def num_endpoints(config: RunConfig, stages: Sequence[str]) -> int:
    """Return how many endpoints serve these stages; those with the same model share its endpoints."""
    return sum(1 + len(model.endpoints) for model, _ in config.models(stages))


def descriptors_for(config: RunConfig, stages: Sequence[str], num_in_flight: int) -> int:
    """Return how many descriptors suffice for so many requests in flight."""
    is_embedded = any(model.base_url is None for model, _ in config.models(stages))
    # The embedded server is in this process: both ends of each connection count.
    return num_in_flight * (2 if is_embedded else 1) + descriptors.RESERVE


def bearable(
    config: RunConfig,
    stages: Sequence[str],
    num_in_flight: int,
    raise_to: Callable[[int], int | None] = descriptors.raise_to,
) -> int:
    """Return how many requests may be in flight at once: as many as are wanted, or as have descriptors.

    Raises the soft limit where that helps; `raise_to` stands in for the system. Warns where it does not suffice.
    """
    needed = descriptors_for(config, stages, num_in_flight)
    # Idle connections are kept while others open: where the system gives more than is needed, take some for them.
    limit = raise_to(2 * needed)
    if limit is None or limit >= needed:
        return num_in_flight
    each = descriptors_for(config, stages, 1) - descriptors.RESERVE
    # Where the limit is below the reserve, some of that is left for requests, too.
    fewer = max(1, max(limit - descriptors.RESERVE, limit // 2) // each)
    _LOG.warning(
        "%d file descriptors are allowed: %d requests in flight instead of %d; `ulimit -n %d` allows them all",
        limit,
        fewer,
        num_in_flight,
        needed,
    )
    return min(fewer, num_in_flight)


def warn_of_slow_parser(is_fast: Callable[[], bool] = has_c_parser) -> None:
    """Warn where aiohttp parses HTTP in pure Python."""
    if not is_fast():
        _LOG.warning(
            "aiohttp runs without its compiled HTTP parser, which makes every request 2.6 times as dear in CPU time; "
            "install aiohttp from a wheel, and unset AIOHTTP_NO_EXTENSIONS"
        )
