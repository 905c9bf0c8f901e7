"""What a reply reports beside its text: the tokens it cost, and the log-probabilities of its first token.

Knows nothing of routes, requests or outcomes. Guarantees: whatever stands in the reply, counts are between 0 and
`MOST_TOKENS`, log-probabilities are finite, and nothing raises.

Source: OpenAI API reference, "The chat completion object" and "The completion object (legacy)".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final, TypeAlias

from fastinstruct.lm.transports.codec import without_surrogates
from fastinstruct.records import MOST_TOKENS, Usage

__all__ = ["first_token_logprobs", "has_thought", "kept_usage", "reaches", "usage_of"]

_MAX_LOGPROB: Final = 1e300  # in size: JSON has integers that are no floats, and sums of these have to be finite
_MAX_ALTERNATIVES: Final = 128  # no server gives as many

_Json: TypeAlias = "dict[str, object]"


def reaches(limits: Collection[int], usage: object) -> bool:
    """Whether a reply's tokens reach one of the lengths that were asked for, so that it is torn.

    Where they go beyond it only because of what the model thought, the limit was not one on thoughts.
    """
    num_tokens = usage_of(usage).completion_tokens
    if not limits or num_tokens == 0:
        return False
    most = max(limits)
    return num_tokens in limits or (num_tokens > most and num_tokens - _num_thought(usage) >= most)


def has_thought(usage: object) -> bool:
    """Whether a reply's usage says that the model thought before it answered, in its details or by its total."""
    if not isinstance(usage, dict):
        return False
    stated = _token_count(usage.get("completion_tokens")) or 0
    return _num_thought(usage) > 0 or usage_of(usage).completion_tokens > stated


def _num_thought(usage: object) -> int:
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return (_token_count(details.get("reasoning_tokens")) or 0) if isinstance(details, dict) else 0


def usage_of(value: object) -> Usage:
    """What a reply cost, each part by itself: 0 for what it does not report, or not as a whole number."""
    if not isinstance(value, dict):
        return Usage(completion_is_told=False)
    prompt_tokens = _token_count(value.get("prompt_tokens")) or 0
    stated, total = _token_count(value.get("completion_tokens")), _token_count(value.get("total_tokens"))
    # Some servers (Gemini, Grok) leave what the model thought out of the completion, but not out of the total.
    of_total = total - prompt_tokens if total is not None and 0 < prompt_tokens <= total else None
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=max(of_total or 0, stated or 0),
        cached_tokens=min(prompt_tokens, _cached_tokens(value)),
        completion_is_told=stated is not None or of_total is not None,
    )


def kept_usage(value: object) -> Usage:
    """What a reply cost as a run has kept it, whichever version wrote it, and whatever has become of it since."""
    if not isinstance(value, dict):
        return Usage(completion_is_told=False)
    prompt_tokens = _token_count(value.get("prompt_tokens")) or 0
    completion_tokens = _token_count(value.get("completion_tokens"))
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens or 0,
        cached_tokens=min(prompt_tokens, _token_count(value.get("cached_tokens")) or 0),
        completion_is_told=completion_tokens is not None and value.get("completion_is_told", True) is True,
    )


def _cached_tokens(usage: _Json) -> int:
    """What came from the cache, as OpenAI and vLLM say it, or DeepSeek."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return _token_count(usage.get("prompt_cache_hit_tokens") if cached is None else cached) or 0


def _token_count(value: object) -> int | None:
    """A number of tokens, `MOST_TOKENS` for a larger one; None for what is none (text, a negative or half a token)."""
    if type(value) is int:  # as mostly; no bool
        return min(value, MOST_TOKENS) if value >= 0 else None
    if not isinstance(value, float) or not 0 <= value < math.inf or not value.is_integer():  # NaN compares false, too
        return None
    return min(int(value), MOST_TOKENS)


def first_token_logprobs(logprobs: object) -> Mapping[str, float] | None:
    """The first token's alternatives, from the chat shape (llama.cpp uses it on both routes) or the legacy one."""
    if not isinstance(logprobs, dict):
        return None
    content = logprobs.get("content")
    found = _chat_logprobs(content) if isinstance(content, list) else _legacy_logprobs(logprobs)
    return {without_surrogates(token): value for token, value in found.items()} or None


def _chat_logprobs(content: list[object]) -> dict[str, float]:
    first = content[0] if content else None
    if not isinstance(first, dict):
        return {}
    alternatives = first.get("top_logprobs")
    found: dict[str, float] = {}
    for entry in [*(alternatives[:_MAX_ALTERNATIVES] if isinstance(alternatives, list) else []), first]:
        if isinstance(entry, dict):
            _add_logprob(found, entry.get("token"), entry.get("logprob"))
    return found


def _legacy_logprobs(logprobs: _Json) -> dict[str, float]:
    found: dict[str, float] = {}
    alternatives = _first(logprobs.get("top_logprobs"))
    if isinstance(alternatives, dict):
        for token, value in islice(alternatives.items(), _MAX_ALTERNATIVES):
            _add_logprob(found, token, value)
    _add_logprob(found, _first(logprobs.get("tokens")), _first(logprobs.get("token_logprobs")))
    return found


def _first(values: object) -> object:
    return values[0] if isinstance(values, list) and values else None


def _add_logprob(found: dict[str, float], token: object, value: object) -> None:
    """Keeps the larger of two values: distinct tokens may decode to one text."""
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return
    if -math.inf < value < math.inf:  # and so no NaN
        number = float(min(max(value, -_MAX_LOGPROB), _MAX_LOGPROB))
        found[token] = max(number, found.get(token, -math.inf))
