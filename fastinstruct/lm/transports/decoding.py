"""What a parsed 200 reply says: a `Completion`, or why it is none. Pure functions.

Knows nothing of connections, statuses, retries or stages. Guarantees: what a model thought is never text of a
completion, whichever field or wrapper it came in; a `Completion`'s text can always be encoded as UTF-8; wrong types in
a reply are tolerated or reported as a `ReplyProblem`, never raised.

Source: OpenAI API reference, "The chat completion object"; the fields that DeepSeek, vLLM, SGLang, OpenRouter, Ollama
and Mistral put reasoning into.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from fastinstruct.lm.transports.codec import without_surrogates
from fastinstruct.lm.transports.reasoning import without_reasoning
from fastinstruct.lm.transports.reported import first_token_logprobs, has_thought, reaches, usage_of
from fastinstruct.records import Api, Completion, FinishReason, ReplyFormat, Usage
from fastinstruct.text.structured import is_answer

__all__ = ["ReplyProblem", "decode_reply"]

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
}
# The server broke off by itself: the text is a part, whatever it says.
_INTERRUPTIONS: Final = frozenset({"abort", "error", "insufficient_system_resource"})
_REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_TEXT_PARTS: Final = ("text", "output_text")
_THINKING_PARTS: Final = ("thinking", "reasoning")
_NO_USAGE: Final = Usage()
# How much of a text is looked at: more than any model writes in the tokens that it was given.
_MAX_CHARS_PER_TOKEN: Final = 32
_LEAST_CHARS: Final = 2**18
_CHARS_WITHOUT_LIMIT: Final = 2**20

_Json: TypeAlias = "dict[str, object]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyProblem:
    """Why a reply is no completion, and what it cost.

    `kind` is one of malformed, no_choices, interrupted, and empty: it was cut off, or the model only thought.
    """

    kind: str
    detail: str
    usage: Usage = _NO_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """The answer of one choice, and what is known of the reasoning beside it."""

    text: str
    was_stripped: bool = False  # the text is not what the server's first tokens were
    has_thought: bool = False
    is_missing: bool = False  # there is no content, not even an empty one
    is_cut: bool = False  # by us: no reply to what was asked is that long


def decode_reply(
    api: Api,
    payload: object,
    *,
    default_model: str = "",
    reply_format: ReplyFormat | None = None,
    limits: Collection[int] = (),
) -> Completion | ReplyProblem:
    """The completion that a parsed 200 reply holds.

    Only the first choice is read. What the model thought is removed, and the log-probabilities with it: they belong to
    the thought's first token.

    Args:
        api: the route.
        payload: the reply.
        default_model: stands in where the reply does not name one.
        reply_format: what was asked for; where the content is empty, a field of reasoning that is such JSON as a whole
            is the answer.
        limits: the lengths that were asked for, in tokens; a reply that reaches one is torn, whatever it says, and so
            is one whose text is longer than that many tokens can be, of which only so much is read.
    """
    if not isinstance(payload, dict):
        return ReplyProblem(kind="malformed", detail=f"a JSON {type(payload).__name__}, not an object")
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        return ReplyProblem(kind="no_choices", detail="the reply holds no choices")
    choice = choices[0]
    if not isinstance(choice, dict):
        return ReplyProblem(kind="malformed", detail="choices[0] is no object")
    stated = choice.get("finish_reason")
    if isinstance(stated, str) and stated in _INTERRUPTIONS:
        return ReplyProblem(kind="interrupted", detail=f"the server broke off (finish_reason {stated})")
    said = _said(api, choice, reply_format, _most_chars(limits))
    if said is None:
        missing = "text" if api is Api.COMPLETIONS else "message"
        return ReplyProblem(kind="malformed", detail=f"choices[0] holds no {missing}")
    return _completed(payload, choice, said, default_model, limits)


def _completed(
    payload: _Json, choice: _Json, said: _Said, default_model: str, limits: Collection[int]
) -> Completion | ReplyProblem:
    reported, model = payload.get("usage"), payload.get("model")
    finish_reason = _finish_reason(choice.get("finish_reason"))
    if finish_reason is not FinishReason.CONTENT_FILTER and (said.is_cut or reaches(limits, reported)):
        finish_reason = FinishReason.LENGTH
    logprobs = None if said.was_stripped else first_token_logprobs(choice.get("logprobs"))
    if not said.text.strip() and logprobs is None:
        problem = _nothing_said(said, finish_reason, reported, limits)
        if problem is not None:
            return problem
    return Completion(
        text=without_surrogates(said.text),
        finish_reason=finish_reason,
        usage=usage_of(reported),
        model=without_surrogates(model) if isinstance(model, str) and model else default_model,
        top_logprobs=logprobs,
    )


def _finish_reason(value: object) -> FinishReason:
    return _FINISH_REASONS.get(value.lower(), FinishReason.OTHER) if isinstance(value, str) else FinishReason.OTHER


def _nothing_said(
    said: _Said, finish_reason: FinishReason, reported: object, limits: Collection[int]
) -> ReplyProblem | None:
    """Why a reply without text is none; None where the model just had nothing to say, or a filter took it."""
    if finish_reason is FinishReason.CONTENT_FILTER:
        return None
    usage, is_cut = usage_of(reported), finish_reason is FinishReason.LENGTH
    room = f"the {min(limits)} tokens that were asked for" if limits else "its length limit"
    if said.has_thought or has_thought(reported):
        told = f"the model thought for {room} and gave" if is_cut else "the reply holds what the model thought and"
        return ReplyProblem(kind="empty", detail=f"{told} no answer", usage=usage)
    if is_cut:
        return ReplyProblem(kind="empty", detail=f"the reply used {room} and holds no text", usage=usage)
    return (
        ReplyProblem(kind="malformed", detail="the reply's content is null", usage=usage) if said.is_missing else None
    )


def _most_chars(limits: Collection[int]) -> int:
    """How long a text can be that such limits allow."""
    return max(_LEAST_CHARS, _MAX_CHARS_PER_TOKEN * max(limits)) if limits else _CHARS_WITHOUT_LIMIT


def _said(api: Api, choice: _Json, reply_format: ReplyFormat | None, most: int) -> _Said | None:
    """The answer in a choice; None where it lacks the place for one."""
    holder = choice if api is Api.COMPLETIONS else choice.get("message")
    if holder is None:  # as where thoughts took all the room
        holder = {}
    if not isinstance(holder, dict):
        return None
    content = holder.get("text" if api is Api.COMPLETIONS else "content")
    if api is Api.COMPLETIONS and not isinstance(content, str | None):
        return None
    whole = _content(content)
    is_cut = len(whole) > most
    answer = without_reasoning(whole[:most] if is_cut else whole)
    if answer.text.strip():
        return _Said(text=answer.text, was_stripped=answer.had_reasoning, is_cut=is_cut)
    return _said_elsewhere(holder, content, reply_format, most) or _Said(
        text=answer.text,
        was_stripped=answer.had_reasoning,
        has_thought=answer.had_reasoning or any(_thoughts(holder, content)),
        is_missing=not isinstance(content, str | list),
        is_cut=is_cut,
    )


def _said_elsewhere(holder: _Json, content: object, reply_format: ReplyFormat | None, most: int) -> _Said | None:
    """What stands for an empty content: the JSON that was asked for, where reasoning belongs, or a refusal's text.

    Servers that tell reasoning from answers by tags take JSON without them for reasoning.
    """
    if reply_format is not None:
        for thought in _thoughts(holder, content):
            if len(thought) <= most and is_answer(reply_format.schema, thought):
                return _Said(text=thought, was_stripped=True)
    refusal = holder.get("refusal")
    return _Said(text=refusal[:most], is_cut=len(refusal) > most) if isinstance(refusal, str) and refusal else None


def _content(content: object) -> str:
    if isinstance(content, list):
        return "".join(_part_text(part) for part in content)
    return content if isinstance(content, str) else ""


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS else None
    return text if isinstance(text, str) else ""


def _thoughts(holder: _Json, content: object) -> Iterator[str]:
    """Each text, not empty, that the server says to be reasoning."""
    for name in _REASONING_FIELDS:
        yield from _texts(holder.get(name))
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") in _THINKING_PARTS:
            yield from _texts(part)


def _texts(value: object, depth: int = 3) -> Iterator[str]:
    """The texts in a string, a list of parts, or a part that holds them under one of the names in use."""
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, list) and depth:
        for part in value:
            yield from _texts(part, depth - 1)
    elif isinstance(value, dict) and depth:
        for name in ("text", "thinking", "summary", "content"):
            yield from _texts(value.get(name), depth - 1)
