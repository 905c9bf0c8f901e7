"""What a request will cost, in tokens, before it is sent: learned from what earlier ones of its kind cost.

Knows nothing of tokenizers, limits or HTTP. Guarantees: an estimate is at least 1; a new kind is over-estimated rather
than under-estimated; what a server reports cannot make an estimate negative or endless.

Prompt tokens are in proportion to characters, by a ratio that is a kind's own (its language, its template). Completion
tokens are their mean. Both are means of what was seen so far, and then forget, slowly: an estimate's error hits all
requests in flight in the same direction, so it must not follow single replies.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastinstruct.records import Usage

__all__ = ["TokenEstimator"]

_TOKENS_PER_CHARACTER = 1 / 3  # English has a quarter, code a third; Chinese with an old tokenizer more than one
_COMPLETION_TOKENS = 1024.0  # where no request limits them
_MEMORY = 100  # requests
_PRIOR = 4  # requests' worth of trust in the first guess: short replies come back first
_MAX_TOKENS = 10_000_000  # no request has more


@dataclass(slots=True)
class _Costs:
    """What is known of one kind of request."""

    tokens_per_character: float
    completion_tokens: float
    num_seen: int = _PRIOR

    def learn(self, tokens_per_character: float, completion_tokens: float) -> None:
        self.num_seen = min(self.num_seen + 1, _MEMORY)
        self.tokens_per_character += (tokens_per_character - self.tokens_per_character) / self.num_seen
        self.completion_tokens += (completion_tokens - self.completion_tokens) / self.num_seen


class TokenEstimator:
    """Estimates tokens for each key, such as a stage, by itself."""

    def __init__(self) -> None:
        self._costs: dict[str, _Costs] = {}

    def estimate(self, key: str, num_characters: int, max_tokens: int | None) -> int:
        """Return the tokens, prompt and completion, that such a request will probably cost.

        Args:
            key: the kind of request.
            num_characters: of the prompt, all messages together.
            max_tokens: the completion's limit, if it has one; taken as its size until replies of this kind are known.
        """
        costs = self._known(key, max_tokens)
        completion_tokens = costs.completion_tokens
        if max_tokens is not None:
            completion_tokens = min(completion_tokens, max_tokens)
        return max(1, round(num_characters * costs.tokens_per_character + completion_tokens))

    def learn(self, key: str, num_characters: int, max_tokens: int | None, usage: Usage) -> None:
        """Take note of what a reply says it cost; a server that reports nothing (zeros) teaches nothing."""
        if usage.prompt_tokens <= 0 or num_characters <= 0:
            return
        prompt_tokens = min(usage.prompt_tokens, _MAX_TOKENS)
        completion_tokens = min(max(0, usage.completion_tokens), _MAX_TOKENS)
        self._known(key, max_tokens).learn(prompt_tokens / num_characters, float(completion_tokens))

    def _known(self, key: str, max_tokens: int | None) -> _Costs:
        costs = self._costs.get(key)
        if costs is None:
            first = _COMPLETION_TOKENS if max_tokens is None else float(max_tokens)
            costs = self._costs[key] = _Costs(_TOKENS_PER_CHARACTER, first)
        return costs
