"""The ledger of a run as its folder keeps it: read when a run goes on, or when somebody asks how it stands.

What answered requests used stands in their rows. What these do not tell, and what the models cost, are two values of
the table `meta`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from fastinstruct.pipeline.budget.ledger import Ledger, Limits, Price, Use, picodollars
from fastinstruct.store import MetaKey, RunReader, StageUsage, Totals, damaged_meta

if TYPE_CHECKING:
    from fastinstruct.config import BudgetConfig  # half the time that `status` takes

__all__ = [
    "dumped_besides",
    "dumped_prices",
    "limits_of",
    "open_ledger",
    "read_ledger",
    "told_by_rows",
]

T = TypeVar("T", Use, Price)


def limits_of(budget: BudgetConfig) -> Limits:
    """Return what a ledger has to keep to."""
    max_cost = None if budget.max_cost is None else picodollars(budget.max_cost)
    return Limits(max_requests=budget.max_requests, max_tokens=budget.max_tokens, max_cost=max_cost)


def open_ledger(reader: RunReader, totals: Totals, limits: Limits, prices: Mapping[str, Price | None]) -> Ledger:
    """Return the books of a run, with all that its earlier sittings used.

    Raises:
        RunFolderError: they are damaged.
    """
    return Ledger(limits, prices, stored=told_by_rows(totals.usage), besides=_kept(reader, MetaKey.USED_BESIDES, Use))


def told_by_rows(usage: Mapping[str, StageUsage]) -> dict[str, Use]:
    """Return what the rows of stored requests tell, by stage."""
    return {
        stage: Use(
            num_requests=told.num_answered, prompt_tokens=told.prompt_tokens, completion_tokens=told.completion_tokens
        )
        for stage, told in usage.items()
    }


def read_ledger(reader: RunReader, totals: Totals) -> Ledger:
    """Return the books of a run that somebody else may be writing, at the prices of its latest sitting.

    Raises:
        RunFolderError: they are damaged.
    """
    told = _kept(reader, MetaKey.PRICES, Price)
    return open_ledger(reader, totals, Limits(), {stage: told.get(stage) for stage in reader.stages()})


def _kept(reader: RunReader, key: MetaKey, made: type[T]) -> dict[str, T]:
    """Read what a sitting kept under a key, by stage; without the stages of which nothing is known."""
    try:
        told = json.loads(reader.meta(key) or "{}")
        return {stage: _whole(made, fields) for stage, fields in told.items() if fields is not None}
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise damaged_meta(reader.folder / "run.db", key) from error


def _whole(made: type[T], told: Mapping[str, Any]) -> T:
    if not all(type(value) is int for name, value in told.items() if name != "source"):
        raise ValueError("no whole numbers")
    return made(**told)


def dumped_besides(ledger: Ledger) -> str:
    """Return what to store of a ledger."""
    return json.dumps({lane: asdict(use) for lane, use in ledger.besides.items() if use != Use()})


def dumped_prices(prices: Mapping[str, Price | None]) -> str:
    """Return what to store of prices."""
    return json.dumps({lane: None if price is None else asdict(price) for lane, price in prices.items()})
