"""OpenAI's bodies, of both APIs: what a posted one asks for, and a reply as one. Pure functions.

Knows nothing of HTTP, of what replies say, or of faults. Four characters count as a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import orjson

from fastinstruct.records import FinishReason
from fastinstruct.scripted_server.json_asks import JsonAsk
from fastinstruct.scripted_server.truths import Truth

__all__ = ["Ask", "Reply", "read_ask", "reply_body"]

_INT: Final = (int, type(None))


class Ask(NamedTuple):
    """What one request asks for; `prompt` is the text, or the messages' contents joined with newlines.

    `fields` is the whole body; `json` what JSON it asks for, once that is read and granted.
    """

    chat: bool
    model: str
    prompt: str
    seed: int | None = None
    num_logprobs: int | None = None
    max_tokens: int | None = None
    fields: Mapping[str, object] = {}
    json: JsonAsk | None = None

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt) // 4


class Reply(NamedTuple):
    """A reply's text; `top_logprobs` (most likely first) only for classification, and only where it was asked for.

    `told_tokens` is what the server says that it cost, where that is no fourth of its characters. `truth` is for
    replies whose rows are known.
    """

    text: str
    finish_reason: FinishReason
    top_logprobs: Mapping[str, float] | None = None
    told_tokens: int | None = None
    truth: Truth | None = None

    @property
    def num_tokens(self) -> int:
        return self.told_tokens or len(self.text) // 4 or 1


def read_ask(path: str, body: bytes) -> Ask | str:
    """What a body posted to `/v1/completions` or `/v1/chat/completions` asks for, or what is wrong with it."""
    try:
        fields = _loaded(body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    if not isinstance(fields, dict):
        return "the body is not a JSON object"
    chat = path.endswith("/chat/completions")
    prompt = _messages_text(fields.get("messages")) if chat else fields.get("prompt")
    if not isinstance(prompt, str):
        return "'messages' must be a list of objects with a text as content" if chat else "'prompt' must be one text"
    if fields.get("stream") or fields.get("n", 1) != 1:
        return "the scripted server answers with one whole reply: no 'stream', no 'n' but 1"
    asked = fields.get("logprobs")
    num_logprobs = asked if not chat else fields.get("top_logprobs", 0) if asked else None
    seed, max_tokens = fields.get("seed"), fields.get("max_completion_tokens", fields.get("max_tokens"))
    if not (isinstance(seed, _INT) and isinstance(num_logprobs, _INT) and isinstance(max_tokens, _INT)):
        return "'seed', 'max_tokens' and the number of log-probabilities must be integers"
    return Ask(chat, str(fields.get("model")), prompt, seed, num_logprobs, max_tokens, fields)


def _loaded(body: bytes) -> object:
    try:
        return cast(object, orjson.loads(body))
    except orjson.JSONDecodeError:
        return json.loads(body)  # takes escaped lone surrogates, which a client may send


def _messages_text(messages: object) -> str | None:
    try:
        return "\n".join(message["content"] for message in cast(Any, messages))
    except (TypeError, KeyError):
        return None


def reply_body(ask: Ask, reply: Reply, *, reply_id: str, model: str) -> dict[str, Any]:
    """The reply in the shape of the API that was asked."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": reply.finish_reason}
    if ask.chat:
        choice["message"] = {"role": "assistant", "content": reply.text}
        choice["logprobs"] = _chat_logprobs(reply)
    else:
        choice["text"] = reply.text
        choice["logprobs"] = _completions_logprobs(reply, len(ask.prompt))
    num_prompt_tokens, num_tokens = ask.num_prompt_tokens, reply.num_tokens
    return {
        "id": reply_id,
        "object": "chat.completion" if ask.chat else "text_completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": num_prompt_tokens,
            "completion_tokens": num_tokens,
            "total_tokens": num_prompt_tokens + num_tokens,
        },
    }


def _completions_logprobs(reply: Reply, prompt_chars: int) -> dict[str, Any] | None:
    if reply.top_logprobs is None:
        return None
    return {
        "tokens": [reply.text],
        "token_logprobs": [reply.top_logprobs.get(reply.text)],
        "top_logprobs": [dict(reply.top_logprobs)],
        "text_offset": [prompt_chars],
    }


def _chat_logprobs(reply: Reply) -> dict[str, Any] | None:
    if reply.top_logprobs is None:
        return None
    ranked = reply.top_logprobs.items()
    top = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in ranked]
    chosen = {"token": reply.text, "logprob": reply.top_logprobs.get(reply.text), "bytes": list(reply.text.encode())}
    return {"content": [chosen | {"top_logprobs": top}], "refusal": None}
