"""What a request will cost, in tokens, before it is sent: learned from what earlier ones of its kind cost.

Knows nothing of tokenizers, limits or HTTP. Guarantees: an estimate is at least 1; a new kind is over-estimated rather
than under-estimated; what a server reports cannot make an estimate negative or endless, and what it does not report
teaches nothing.

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
class _Mean:
    """A mean that begins with a guess and forgets slowly."""

    value: float
    num_seen: int = _PRIOR

    def learn(self, value: float) -> None:
        self.num_seen = min(self.num_seen + 1, _MEMORY)
        self.value += (value - self.value) / self.num_seen


@dataclass(frozen=True, slots=True)
class _Costs:
    """What is known of one kind of request."""

    tokens_per_character: _Mean
    completion_tokens: _Mean


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
        completion_tokens = costs.completion_tokens.value
        if max_tokens is not None:
            completion_tokens = min(completion_tokens, max_tokens)
        return max(1, round(num_characters * costs.tokens_per_character.value + completion_tokens))

    def learn(self, key: str, num_characters: int, max_tokens: int | None, usage: Usage) -> None:
        """Take note of what a reply says it cost, each part by itself; a server that reports nothing teaches nothing.

        Zeros alone report nothing.
        """
        costs = self._known(key, max_tokens)
        if usage.prompt_tokens > 0 and num_characters > 0:
            costs.tokens_per_character.learn(min(usage.prompt_tokens, _MAX_TOKENS) / num_characters)
        if _tells_completion(usage):
            costs.completion_tokens.learn(float(min(usage.completion_tokens, _MAX_TOKENS)))

    def used(self, key: str, num_characters: int, max_tokens: int | None, usage: Usage) -> int:
        """Return the tokens that a reply used, each part by itself.

        Of what its server does not tell, a prompt counts as estimated and a completion in full.
        """
        costs = self._known(key, max_tokens)
        most = costs.completion_tokens.value if max_tokens is None else max_tokens
        prompt_tokens = (
            usage.prompt_tokens if usage.prompt_tokens > 0 else costs.tokens_per_character.value * num_characters
        )
        return round(prompt_tokens + (usage.completion_tokens if _tells_completion(usage) else most))

    def _known(self, key: str, max_tokens: int | None) -> _Costs:
        costs = self._costs.get(key)
        if costs is None:
            first = _COMPLETION_TOKENS if max_tokens is None else float(max_tokens)
            costs = self._costs[key] = _Costs(_Mean(_TOKENS_PER_CHARACTER), _Mean(first))
        return costs


def _tells_completion(usage: Usage) -> bool:
    told = usage.completion_tokens
    return usage.completion_is_told and (told > 0 or (told == 0 and usage.prompt_tokens > 0))
