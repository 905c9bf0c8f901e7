"""The most that a request may use, before it is sent.

Knows nothing of prices or limits. Guarantees a bound, not a guess, for a server that keeps to `max_tokens`: a tokenizer
makes at most one token of a byte, and chat templates add a few around each message. A server that has counted more than
its bound (a system prompt of its own, no limit kept) raises the bounds of all that is sent later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastinstruct.lm import Request
from fastinstruct.lm.transports.codec import schema_size
from fastinstruct.pipeline.budget.ledger import Use
from fastinstruct.records import Usage

__all__ = ["WorstCase"]

_PER_MESSAGE = 16  # tokens of a chat template around a message
_PER_PROMPT = 64  # and once a prompt: the start, a default system message
_UNLIMITED_REPLY = 4096  # tokens of a reply whose length nobody limits, until longer ones were seen
_MARGIN = 1.5  # on the longest that was seen
_LENGTH_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict")
_COUNT_KEYS = ("n", "best_of")
_MOST_TOKENS = 10**9  # of one request; a server that reports more must not make a bound that nothing fits


@dataclass(slots=True)
class _Seen:
    """By how much replies of one lane went beyond their bounds, margin included, and the longest of them."""

    prompt_factor: float = 1.0
    reply_factor: float = 1.0
    longest_reply: int = 0


class WorstCase:
    """Bounds for the requests of each lane.

    Args:
        extra_bodies: lane -> what is merged into its requests' JSON: it may set another limit, or ask for more replies.
    """

    def __init__(self, extra_bodies: Mapping[str, Mapping[str, object]]) -> None:
        keys = (*_LENGTH_KEYS, *_COUNT_KEYS)
        self._overriding = {
            lane: {key: body[key] for key in keys if key in body} for lane, body in extra_bodies.items()
        }
        self._seen = {lane: _Seen() for lane in extra_bodies}

    def of(self, lane: str, request: Request) -> Use:
        """Return what one attempt at `request` uses at most."""
        seen = self._seen[lane]
        return Use(
            num_requests=1,
            prompt_tokens=int(seen.prompt_factor * _prompt_bound(request)),
            completion_tokens=self._reply_bound(lane, request),
        )

    def learn(self, lane: str, request: Request, usage: Usage) -> None:
        """Raise later bounds if a reply went beyond its own."""
        seen = self._seen[lane]
        prompt_tokens = min(usage.prompt_tokens, _MOST_TOKENS)
        completion_tokens = min(usage.completion_tokens, _MOST_TOKENS)
        if prompt_tokens > _num_characters(request):  # else it kept to its bound, which is larger
            seen.prompt_factor = max(seen.prompt_factor, _excess(prompt_tokens, _prompt_bound(request)))
        seen.longest_reply = max(seen.longest_reply, completion_tokens)
        if (limit := self._limit(lane, request)) is not None:
            seen.reply_factor = max(seen.reply_factor, _excess(completion_tokens, limit))

    def _reply_bound(self, lane: str, request: Request) -> int:
        seen, limit = self._seen[lane], self._limit(lane, request)
        if limit is None:
            return max(_UNLIMITED_REPLY, int(_MARGIN * seen.longest_reply))
        return int(seen.reply_factor * limit)

    def _limit(self, lane: str, request: Request) -> int | None:
        """The length of all replies to a request together; None where the server decides."""
        body = self._overriding[lane]
        if not body:
            return request.sampling.max_tokens
        asked = {"max_tokens": request.sampling.max_tokens} | {key: body[key] for key in _LENGTH_KEYS if key in body}
        lengths = [length for value in asked.values() if (length := _count(value)) is not None]
        num_replies = max(_count(body.get(key)) or 1 for key in _COUNT_KEYS)
        return max(lengths) * num_replies if lengths else None


def _excess(used: int, bound: int) -> float:
    """The factor for later bounds: 1 for what kept to its own."""
    return _MARGIN * used / bound if used > bound else 1.0


def _count(value: object) -> int | None:
    """A number of tokens or replies; None for what limits nothing."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _prompt_bound(request: Request) -> int:
    prompt = request.prompt
    # Some servers write the schema of the reply into the prompt.
    beside = _PER_PROMPT if request.reply_format is None else _PER_PROMPT + schema_size(request.reply_format)
    if isinstance(prompt, str):
        return _num_bytes(prompt) + beside
    return sum([_num_bytes(message.content) + _PER_MESSAGE for message in prompt]) + beside


def _num_characters(request: Request) -> int:
    prompt = request.prompt
    return len(prompt) if isinstance(prompt, str) else sum([len(message.content) for message in prompt])


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
