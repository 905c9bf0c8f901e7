"""Whether a server refuses the form of what it is asked for: replies in JSON, or messages of the role `system`.

Knows nothing of outcomes, endpoints or connections: a status and an `ErrorInfo` in, a yes or no out. Only the beginning
of a message is read, in a time linear in its length: what comes later may be an echo of the prompt.

Source: the wordings of OpenAI, Azure, DeepSeek, Groq, Mistral, Together, Fireworks, xAI, Google, Anthropic, Bedrock,
OpenRouter, DashScope, vLLM, SGLang, TGI, llama.cpp, Ollama and LM Studio, as their users report them; golden bodies in
tests/test_form_refusals.py.
"""

from __future__ import annotations

import re
from typing import Final

from fastinstruct.lm.outcomes.error_body import ErrorInfo

__all__ = ["is_failed_generation", "refuses_reply_format", "refuses_system_role"]

_SEARCHED: Final = 500  # characters of a message
_STATUSES: Final = frozenset({400, 404, 422, 500, 501})

_FORMAT: Final = re.compile(
    r"response[ _]?format|(?<!function )response[ _]?(?:mime[ _]?type|schema)|json[ _]?schema|json_object|json[ -]mode"
    r"|structured[ _-]?outputs?|guided[ _]?(?:json|decoding|grammar|generation)|constrained (?:decoding|generation)"
    r"|output_(?:format|config)\b|xgrammar|llguidance|lm-format-enforcer|schema in generationconfig"
    r"|mime ?type parameter with value application/json|too many states for serving"
    r"|contain the word [`'\"]?json\b"
    r"|grammar (?:request|error|stack|backend|string|specification|compilation|type|constraint)|[`'\"]grammar[`'\"]"
    r"|(?:parse|parsing|compile|compiling|invalid|unsupported|json|structural_tag|custom) grammar|convert the grammar"
    r"|generate parser for this template"
    r"|no endpoints found that (?:can handle|support) the requested parameters",
    re.IGNORECASE,
)
_FORMAT_PARAMETERS: Final = re.compile(
    r"(?:text\.)?(?:response_?format|json_?schema|guided_json|structured_outputs?|output_format|format|grammar)\b",
    re.IGNORECASE,
)
_MARK: Final = r"[\\`'\"]{0,2}"
_SYSTEM_STATUSES: Final = frozenset({400, 422, 500, 501})
_SYSTEM: Final = re.compile(
    rf"\b(?:system|developer){_MARK} ?(?:role|messages?|prompts?|instructions?)\b.{{0,40}}?"
    r"\b(?:not|unsupported|isn't|aren't|cannot|can't|invalid)\b"
    rf"|(?:\bnot\b|n't|unsupported|invalid|unknown|unexpected|unrecogni[sz]ed).{{0,40}}?"
    rf"\b(?:support|role|variant|accept|allow)\w{{0,4}}:? (?:the )?(?:role )?{_MARK}(?:system|developer)\b"
    rf"|{_MARK}system{_MARK} is not (?:one of|a valid|valid|allowed|supported)"
    rf"|role\b.{{0,60}}?\b(?:should|must) be (?:one of )?\W{{0,3}}(?:user|assistant)\b"
    rf"|\bonly (?:the )?{_MARK}user{_MARK}(?:,| and| or)[^.]{{0,60}}?\broles?\b"
    r"|roles? (?:must|should) (?:strictly )?alternate|messages? (?:must|should) alternate|must alternate between"
    r"|first message\b.{0,30}\b(?:must|should|has to)\b.{0,30}\buser\b"
    r"|不支持.{0,10}system|system.{0,10}不(?:支持|允许)",
    re.IGNORECASE,
)
_FAILED_GENERATION: Final = re.compile(r"failed[ _]generation|failed to (?:generate|validate) json", re.IGNORECASE)


def refuses_reply_format(status: int, info: ErrorInfo) -> bool:
    """Whether this refusal of a request that asked for JSON says that the server won't write it so."""
    if status not in _STATUSES or is_failed_generation(info):
        return False
    if info.parameter is not None and _FORMAT_PARAMETERS.match(info.parameter):
        return True
    return _FORMAT.search(info.message[:_SEARCHED]) is not None


def refuses_system_role(status: int, info: ErrorInfo) -> bool:
    """Whether this refusal of a request with a system message says that the model knows no such role."""
    return status in _SYSTEM_STATUSES and _SYSTEM.search(info.message[:_SEARCHED]) is not None


def is_failed_generation(info: ErrorInfo) -> bool:
    """Whether the server takes the form, and threw away what the model wrote because it was none of it (Groq)."""
    return "json_validate_failed" in info.tags or _FAILED_GENERATION.search(info.message[:_SEARCHED]) is not None
