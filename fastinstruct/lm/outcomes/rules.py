"""Which verdict a refusal gets: the failure matrix's wordings, codes and statuses as tables, and the lookups in them.

Knows nothing of outcomes, endpoints or connections: a status and an `ErrorInfo` in, a verdict's name out. Guarantees:
every status has a verdict.

The order of the rules matters: a spent quota is refused with 429 as rate limits are, and an overflow names `max_tokens`
as an unsupported parameter does. Source: each provider's error reference; golden bodies in tests/test_classify.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastinstruct.lm.outcomes.error_body import ErrorInfo
from fastinstruct.lm.transports.codec import DROPPABLE_PARAMETERS

__all__ = [
    "FAILED_GENERATION",
    "REPLY_FORMAT",
    "SYSTEM_ROLE",
    "UNSUPPORTED",
    "is_failed_generation",
    "refuses_reply_format",
    "refuses_system_role",
    "unsupported_parameter",
    "verdict",
]

FAILED_GENERATION: Final = "failed_generation"
REPLY_FORMAT: Final = "reply_format"
SYSTEM_ROLE: Final = "system_role"
UNSUPPORTED: Final = "unsupported_parameter"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Which verdict a refusal of one of these statuses gets if it carries one of the tags or the wording."""

    verdict: str
    statuses: frozenset[int]
    tags: frozenset[str] = frozenset()
    wording: re.Pattern[str]


def _rule(verdict: str, statuses: set[int], tags: str, *wordings: str) -> _Rule:
    return _Rule(
        verdict=verdict,
        statuses=frozenset(statuses),
        tags=frozenset(tags.split()),
        wording=re.compile("|".join(wordings), re.IGNORECASE),
    )


# These come before a look at the form: an overflow or a filter is one whatever was asked for.
_RULES_OF_ANY_FORM: Final = (
    _rule(
        "context_overflow",
        {400, 413, 422, 429, 500},
        "context_length_exceeded exceed_context_size_error",
        r"maximum (?:context|model) length",
        r"available context size",
        r"exceeds? (?:the )?(?:model'?s )?(?:maximum )?context",
        r"longer than the model'?s context length",
        r"prompt is too long",
        r"input (?:is too large to process|is too long|token count.{0,40}exceeds)",
        r"`inputs` tokens \+ `max_new_tokens`",
        r"reduce the length of the (?:messages|prompt|input)",
        r"request too large for",  # more tokens than a whole minute allows: waiting does not help
    ),
    _rule(
        "content_filter",
        {400, 403, 422, 451},
        "content_filter content_policy_violation responsibleaipolicyviolation "
        "data_inspection_failed moderation_blocked",
        r"content management policy",
        r"content exists risk",
        r"\bflagged\b",
        r"rejected (?:as a result of our|by the) safety system",
    ),
    _rule(
        "quota",
        {400, 402, 403, 429},
        "insufficient_quota insufficient_balance insufficient_funds billing_hard_limit_reached billing_not_active "
        "billing_error payment_required credit_balance_too_low",
        r"exceeded your current quota",
        r"insufficient (?:quota|balance|credit|fund)",
        r"(?:out of|requires? more|not enough|add|purchase) credits?\b",
        r"credit balance is too low",
        r"billing (?:hard )?limit",
        r"billing (?:details|is not active)",
        r"(?:spend|spending|usage) limit (?:reached|exceeded)",
        r"\bdaily\b.{0,30}\b(?:limit|quota)\b",  # no run waits for tomorrow
        r"\bper-day\b",
    ),
)
# And these after: "this model does not support json_schema" is no unknown model.
_RULES_OF_MODELS: Final = (
    _rule(
        "wrong_route",
        {400, 404},
        "",
        r"not a chat model",
        r"(?:this is a|is a) chat model",
        r"not supported in the v1/(?:chat/)?completions",
        r"does not support (?:chat|the chat completions|completions) api",
    ),
    _rule(
        "model",
        {400, 403, 404, 422},
        "model_not_found deploymentnotfound invalid_model model_not_available",
        r"\bmodel\b.{0,200}?(?:does not exist|not exist\b|not found|is not available|is not a valid)",
        r"not a valid model",
        r"(?:invalid|unknown|no such) model\b",
        r"no endpoints found",
        r"unable to access model",
        r"^model: \S+$",  # Anthropic's not_found_error
    ),
)

_STATUS_VERDICTS: Final[Mapping[int, str]] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "no_route",
    405: "no_route",
    407: "proxy_auth",
    408: "server",
    409: "server",
    413: "context_overflow",
    425: "server",
    429: "rate",
    498: "overloaded",
    501: "no_route",
    503: "overloaded",
    529: "overloaded",
}

_UNSUPPORTED_STATUSES: Final = frozenset({400, 403, 422, 500, 501})
_UNSUPPORTED_TAGS: Final = frozenset(
    {"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"}
)
_UNSUPPORTED_WORDS: Final = re.compile(
    r"unsupported|unrecogni[sz]ed|not supported|(?:does not|doesn't|isn't|no longer) support|not (?:permitted|allowed"
    r"|enabled|implemented|available)|unknown (?:param|field|arg)|unexpected (?:keyword|field|param|arg)|deprecated"
    r"|extra (?:inputs|fields)|only the default|cannot both be|greater than max allowed",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(
    r"\b(max_completion_tokens|max_tokens|presence_?penalty|frequency_?penalty|top_?logprobs|logprobs|temperature"
    r"|top_?p|stop|seed)\b",
    re.IGNORECASE,
)
_UNDERSCORED: Final = {
    "presencepenalty": "presence_penalty",
    "frequencypenalty": "frequency_penalty",
    "toplogprobs": "top_logprobs",
    "topp": "top_p",
}
_PARAMETER_SEARCHED: Final = 300  # characters: what comes later may be an echo of the prompt


def verdict(status: int, info: ErrorInfo, *, asks_for_json: bool = False, has_system_message: bool = False) -> str:
    """The name of what a refusal comes to: by its codes and words where a rule knows them, else by its status.

    `asks_for_json` says that the request carried a reply format, and `has_system_message` one of that role: it may have
    been refused for either.
    """
    for rule in _RULES_OF_ANY_FORM:
        if _applies(rule, status, info):
            return rule.verdict
    if has_system_message and refuses_system_role(status, info):
        return SYSTEM_ROLE
    if asks_for_json and is_failed_generation(info):
        return FAILED_GENERATION
    if asks_for_json and refuses_reply_format(status, info):
        return REPLY_FORMAT
    for rule in _RULES_OF_MODELS:
        if _applies(rule, status, info):
            return rule.verdict
    if unsupported_parameter(status, info) is not None:
        return UNSUPPORTED
    return _STATUS_VERDICTS.get(status) or _verdict_of_family(status)


def _applies(rule: _Rule, status: int, info: ErrorInfo) -> bool:
    if status not in rule.statuses:
        return False
    return bool(rule.tags & info.tags) or rule.wording.search(info.message) is not None


def _verdict_of_family(status: int) -> str:
    if status >= 500:
        return "server"
    if status >= 400:
        return "other"
    return "redirect" if status >= 300 else "not_ok"


def unsupported_parameter(status: int, info: ErrorInfo) -> str | None:
    """The wire name of the parameter that the server won't take, where it refuses one that we can do without."""
    message = info.message[:_PARAMETER_SEARCHED]
    if status not in _UNSUPPORTED_STATUSES:
        return None
    if not (_UNSUPPORTED_TAGS & info.tags or _UNSUPPORTED_WORDS.search(message)):
        return None
    if info.parameter is not None:
        return info.parameter if info.parameter in DROPPABLE_PARAMETERS else None
    found = _PARAMETER.search(message)
    return _UNDERSCORED.get(found[1].lower(), found[1].lower()) if found else None


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
