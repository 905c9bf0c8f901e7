"""What the identity in a run's manifest says of the models: the run's, or a stage's own; and what its names mean.

Knows nothing of what else an identity holds. It comes from a file, so any part of it may be missing or of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastinstruct.errors import InputError
from fastinstruct.records import Api
from fastinstruct.tokenizer_names import stored_tokenizer

__all__ = ["api_in", "exact_identity", "model_in"]


def model_in(identity: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """Return what identifies the model of a stage: name, api, fingerprint and what else it was asked with.

    Raises:
        KeyError, TypeError: the identity is damaged.
    """
    further = identity.get("stages")
    part = identity.get(stage, further.get(stage, {}) if isinstance(further, Mapping) else {})
    if not isinstance(part, Mapping):
        raise TypeError(f"{stage} is a {type(part).__name__}")
    found = part.get("model", identity.get("model"))
    if not isinstance(found, Mapping):
        raise TypeError(f"the model of {stage} is a {type(found).__name__}")
    return found


def api_in(identity: Mapping[str, Any], stage: str) -> Api:
    """Return the route that the prompts of a stage are written for.

    Raises:
        KeyError, TypeError, ValueError: the identity is damaged.
    """
    return Api(model_in(identity, stage)["api"])


def exact_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity with the exact name of its tokenizer: runs from before its second version say `unicode`.

    A name that is not known here stays as it is.
    """
    similarity = identity.get("similarity")
    if not isinstance(similarity, Mapping) or "tokenizer" not in similarity:
        return dict(identity)
    try:
        tokenizer = stored_tokenizer(similarity["tokenizer"])
    except InputError:
        return dict(identity)
    return {**identity, "similarity": {**similarity, "tokenizer": tokenizer}}
