"""JSON that no honest server sends, as text: any shape in any place, a thousand levels deep, numbers out of bounds.

Text, because Python's own writer gives up where the parsers of replies do not.
"""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["DEPTHS", "VALUES", "error_bodies", "nested", "reply_bodies"]

DEPTHS = (8, 200, 1000, 1020, 3000)
_AROUND = (
    ("[", "]"),
    ('{"a":', "}"),
    ('{"error":', "}"),
    ('{"detail":', "}"),
    ('{"message":', "}"),
    ('[{"text":', "}]"),
    ('{"content":[', "]}"),
)
_LEAVES = (
    *("null", "true", "false", "0", "-1", "1.5", "1e999", "-1e999", "NaN", "Infinity", "9007199254740993"),
    *("1" * 30, "-" + "9" * 400, "1" * 5000, '""', '"x"', '"\\ud800"', '"\\u0000"', '"429"', '"error"', '"length"'),
    *('"<think>"', '"stop"', '"2024-01-01"', '"٤٢٩"', '"²"', "[]", "{}", '"' + "y" * 3000 + '"'),
)
_NAMES = (
    *("error", "message", "code", "type", "status", "param", "detail", "loc", "msg", "metadata", "raw", "innererror"),
    *("choices", "usage", "model", "object", "data", "id", "token", "logprob", "top_logprobs", "content", "text"),
    *("errors", "base_resp", "header", "tokens", "token_logprobs", "reasoning_tokens", "cached_tokens", "thinking"),
)


def nested(depth: int, around: tuple[str, str] = _AROUND[0], leaf: str = "1") -> str:
    return around[0] * depth + leaf + around[1] * depth


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"


_DEEP = st.builds(nested, st.sampled_from(DEPTHS), st.sampled_from(_AROUND), st.sampled_from(_LEAVES))
VALUES: st.SearchStrategy[str] = st.recursive(
    st.one_of(st.sampled_from(_LEAVES), _DEEP),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: "[" + ",".join(values) + "]"),
        st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4).map(_object),
    ),
    max_leaves=8,
)


def _members(names: str, **inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects with some of these keys, whatever their values; those of `inner` hold these mostly."""
    optional = dict.fromkeys(names.split(), VALUES)
    optional |= {name: st.one_of(value, value, VALUES) for name, value in inner.items()}
    return st.fixed_dictionaries({}, optional=optional).map(_object)


def _listed(value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(value, min_size=1, max_size=2).map(lambda values: "[" + ",".join(values) + "]")


def reply_bodies() -> st.SearchStrategy[str]:
    """Bodies that resemble a completion's of either route."""
    part = _members("type text thinking summary content")
    message = _members(
        "role content reasoning_content reasoning thinking reasoning_details refusal", content=_listed(part)
    )
    entry = _members("token logprob", top_logprobs=_listed(_members("token logprob")))
    logprobs = _members("tokens token_logprobs top_logprobs", content=_listed(entry))
    choice = _members("text finish_reason error index", message=message, logprobs=logprobs)
    details = _members("reasoning_tokens cached_tokens")
    usage = _members(
        "prompt_tokens completion_tokens total_tokens prompt_cache_hit_tokens",
        completion_tokens_details=details,
        prompt_tokens_details=details,
    )
    return _members("model object error status detail", choices=_listed(choice), usage=usage)


def error_bodies() -> st.SearchStrategy[str]:
    """Bodies that resemble a refusal's."""
    fault = _members("type msg input", loc=_listed(VALUES))
    error = _members(
        "message code type status param", metadata=_members("raw"), innererror=_members("code"), detail=_listed(fault)
    )
    return st.one_of(
        _members("message code object errors base_resp header", error=error, detail=_listed(fault)),
        _listed(error),
        VALUES,
    )
