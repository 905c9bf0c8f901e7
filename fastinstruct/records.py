"""The nouns: frozen, slotted, keyword-only values that the layers hand to one another.

Knows nothing of files, networks, databases or models; imports nothing of ours. Rejecting something is a value here
(`Rejection`), never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

__all__ = [
    "MAX_RULE_NAME",
    "MOST_TOKENS",
    "Api",
    "Candidate",
    "Completion",
    "Example",
    "FinishReason",
    "Instance",
    "Message",
    "Prompt",
    "Reason",
    "RejectReason",
    "Rejection",
    "ReplyForm",
    "ReplyFormat",
    "RuleReason",
    "Sampling",
    "SeedTask",
    "Usage",
    "example_id",
    "is_rule_name",
    "reason_in",
    "rule_reason",
    "score_above",
]

MAX_RULE_NAME = 40
"""Characters of the name that a rule is counted under."""

MOST_TOKENS: Final = 2**40
"""What larger counts are taken for: no reply is so long, and SQLite can sum it up for eight million requests."""


class Api(StrEnum):
    """Which OpenAI-compatible route a prompt is written for."""

    CHAT = "chat"
    COMPLETIONS = "completions"


class ReplyForm(StrEnum):
    """How a reply is asked for, from the most certain to read to the least; the values are stored."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    TEXT = "text"


class FinishReason(StrEnum):
    """Why a model stopped; servers' other words are mapped to `OTHER`."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"


class RejectReason(StrEnum):
    """Why a candidate instruction or instance was not kept. The values are stored: add to them, never rename."""

    # both
    UNCERTAIN = "uncertain"  # where it begins or ends, or what belongs to it, is not certain
    MARKER = "marker"  # it holds what looks like a marker, a heading, a role, a list number or the next task
    PLACEHOLDER = "placeholder"  # it is, or holds, a hole to fill in
    REMARK = "remark"  # it holds what a chat model says around its answer
    REPETITION = "repetition"  # one word or line over and over
    REQUIRED = "required"  # it lacks what a rule of the user's asks for
    FORBIDDEN = "forbidden"  # it holds what a rule of the user's rules out
    CUSTOM = "custom"  # the caller's own filter refuses it
    # instructions
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    KEYWORD = "keyword"
    WRITE_A_PROGRAM = "write_a_program"
    PUNCTUATION = "punctuation"
    NON_ASCII = "non_ascii"
    TRUNCATED = "truncated"
    REFUSAL = "refusal"
    ECHO = "echo"
    TEMPLATE_LEAK = "template_leak"
    CONTAMINATED = "contaminated"
    NEAR_DUPLICATE = "near_duplicate"
    # instances
    INPUT_EQUALS_OUTPUT = "input_equals_output"
    EMPTY_OUTPUT = "empty_output"
    TRAILING_COLON = "trailing_colon"
    CONFLICTING_OUTPUTS = "conflicting_outputs"
    DUPLICATE = "duplicate"
    SURPLUS = "surplus"
    REPEATED_OUTPUT = "repeated_output"  # too many instructions of the run have this output already


_OF_RULES = frozenset({RejectReason.REQUIRED, RejectReason.FORBIDDEN, RejectReason.CUSTOM})


class RuleReason(str):
    """Which of the user's rules: REQUIRED, FORBIDDEN or CUSTOM, a colon and the rule's name (see `rule_reason`)."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """What is stored, as of a `RejectReason`."""
        return str(self)


Reason: TypeAlias = RejectReason | RuleReason
"""Why something was not kept; a text of either kind is what is stored and counted."""


def is_rule_name(name: str) -> bool:
    """Whether a rule can be counted under this name: short, printable, and not blank at either end."""
    return 0 < len(name) <= MAX_RULE_NAME and name.isprintable() and name == name.strip()


def rule_reason(reason: RejectReason, name: str) -> RuleReason:
    """Return the reason of the rule `name`; `reason` is REQUIRED, FORBIDDEN or CUSTOM.

    Raises:
        ValueError: no rule has such a reason or such a name.
    """
    if reason not in _OF_RULES or not is_rule_name(name):
        msg = f"no rule has the reason {reason} and the name {name[:MAX_RULE_NAME]!r}"
        raise ValueError(msg)
    return RuleReason(f"{reason}:{name}")


def reason_in(stored: str) -> Reason:
    """Return the reason that was stored as this text.

    Raises:
        ValueError: it is none.
    """
    reason, colon, name = stored.partition(":")
    return rule_reason(RejectReason(reason), name) if colon else RejectReason(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One worked case of a task: `input` is empty where the instruction needs none."""

    input: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTask:
    """A task written by a person; `is_classification` is None where its file does not say."""

    id: str
    name: str
    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One kept instance of one instruction: a row of the finetuning data.

    `id` is stable: a machine-generated example is `m<instruction>-<instance>`, a seed one `<seed id>-<instance>`.
    `is_classification` is None where stage 2 could not tell.
    """

    id: str
    instruction: str
    input: str
    output: str
    is_classification: bool | None


def example_id(instruction_id: int, item: int) -> str:
    """Return the id of the example that an instruction's instance makes: always the same for the same run."""
    return f"m{instruction_id}-{item}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why something was not kept; for what is near another text, that one's position and their ROUGE-L F-measure.

    The position of a near-duplicate's neighbour is in the pool; of a contaminated instruction's, among the evaluation
    texts (see `files.against`).
    """

    reason: Reason
    nearest: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An instruction parsed from a completion, and what the heuristic filters said of it (None: it passed)."""

    text: str
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat prompt."""

    role: str
    content: str


Prompt: TypeAlias = "str | tuple[Message, ...]"
"""What a model is asked: text to continue (completions) or messages (chat)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFormat:
    """The JSON that a reply is to be: `schema` is a JSON schema of one object, `name` what it is called on the wire.

    `form` says how it is asked for: by the schema, or as any JSON object (the prompt says which). Never TEXT: what is
    asked for as text has no format.
    """

    form: ReplyForm
    name: str
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Decoding parameters of one request; None leaves one to the server's default.

    `num_logprobs` asks for the log-probabilities of that many alternatives for the first token.
    """

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    num_logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens a request cost, as the server reports them; 0 where it does not.

    `cached_tokens` are those of the prompt that came from the server's cache; `completion_tokens` hold what a model
    thought, too. A prompt of no tokens was not told; a completion may have none, so `completion_is_told` says it.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    completion_is_told: bool = field(default=True, compare=False)  # how it is known, not what


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole reply of a model; never a part of one that broke off.

    `text` has what the model thought removed. `top_logprobs` maps alternatives for the first token to natural
    log-probabilities, where they were asked for and given.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    top_logprobs: Mapping[str, float] | None = None


def score_above(score: float, threshold: float) -> str:
    """Write a score that was rejected for being above the threshold with so many digits that it looks so: 0.7004."""
    digits = 3
    while digits < 17 and score > threshold >= float(f"{score:.{digits}f}"):
        digits += 1
    return f"{score:.{digits}f}"
