"""What the identity in a run's manifest says of the models: the run's, or a stage's own.

Knows nothing of what else an identity holds. It comes from a file, so any part of it may be missing or of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastinstruct.records import Api, Stage

__all__ = ["api_in", "model_in"]


def model_in(identity: Mapping[str, Any], stage: Stage) -> Mapping[str, Any]:
    """Return what identifies the model of a stage: name, api, fingerprint and what else it was asked with.

    Raises:
        KeyError, TypeError: the identity is damaged.
    """
    part = identity.get(stage, {})
    if not isinstance(part, Mapping):
        raise TypeError(f"{stage} is a {type(part).__name__}")
    found = part.get("model", identity.get("model"))
    if not isinstance(found, Mapping):
        raise TypeError(f"the model of {stage} is a {type(found).__name__}")
    return found


def api_in(identity: Mapping[str, Any], stage: Stage) -> Api:
    """Return the route that the prompts of a stage are written for.

    Raises:
        KeyError, TypeError, ValueError: the identity is damaged.
    """
    return Api(model_in(identity, stage)["api"])
