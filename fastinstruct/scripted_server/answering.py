"""What a posted body asks for, and the body that answers it: written for the prompt, quick, or canned.

Knows nothing of connections, time or when faults strike. Guarantees that what is answered is a function of the script
and the request; a reply's id and the model's name apart, which the server gives.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import orjson

from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.faults import Fault, bent_body
from fastinstruct.scripted_server.json_asks import JsonReplies, read_json_ask, refusal
from fastinstruct.scripted_server.json_replies import json_reply
from fastinstruct.scripted_server.log import LogEntry
from fastinstruct.scripted_server.messages import Answer, error_answer
from fastinstruct.scripted_server.quick import quick_reply
from fastinstruct.scripted_server.replies import Kind, Replies, ReplyRates, kind_of, recognise, reply_to
from fastinstruct.scripted_server.script import Overflow, Script
from fastinstruct.scripted_server.shapes import Ask, Reply, read_ask, reply_body
from fastinstruct.scripted_server.styled import styled_reply

__all__ = ["Answerer"]

_CANNED_RATES: Final = ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=0.0)
_NO_ID: Final = "scr-0"


class Answerer:
    """Reads requests and writes replies as a script has it.

    Args:
        script: names the model, what is refused, and how replies come about.
        needs_hash: whether a canned request's body is hashed, for draws that depend on it or for the log.
    """

    def __init__(self, script: Script, *, needs_hash: bool) -> None:
        self._script = script
        self._needs_hash = needs_hash
        self._canned_asks = {chat: Ask(chat=chat, model=script.model, prompt="") for chat in (False, True)}
        self._canned_reply = quick_reply(
            self._canned_asks[True], Kind.INSTRUCTIONS, "", seed=script.seed, rates=_CANNED_RATES
        )
        self._canned_bodies = {
            (ask.chat, model): orjson.dumps(reply_body(ask, self._canned_reply, reply_id=_NO_ID, model=model))
            for ask in self._canned_asks.values()
            for model in (script.model, script.new_model or script.model)
        }

    def read(self, path: str, body: bytes, entry: LogEntry) -> Ask | Answer:
        """What a request asks for, or the answer that refuses it; what it is about is noted in `entry`."""
        script = self._script
        if script.replies == Replies.CANNED:
            if self._needs_hash:
                entry.prompt_sha256 = sha256(body).hexdigest()
            return self._canned_asks[path == "/v1/chat/completions"]
        ask = read_ask(path, body)
        if isinstance(ask, str):
            return error_answer(400, "invalid_request", ask)
        if ask.model not in (script.model, script.new_model):
            return error_answer(404, "model_not_found", f"the model does not exist; {script.model!r} does")
        entry.prompt_sha256 = text_sha256(ask.prompt)
        asks_json = "response_format" in ask.fields or "json_schema" in ask.fields
        read = self._with_json(ask, entry) if asks_json else ask
        entry.kind = entry.kind or recognise(ask.prompt)
        return read if isinstance(read, Answer) else self._refusal(read) or read

    def _with_json(self, ask: Ask, entry: LogEntry) -> Ask | Answer:
        """What is asked for, with the JSON that it is to be; the schema tells its kind, where there is one."""
        wanted = read_json_ask(ask.fields, ask.prompt)
        if wanted is None or isinstance(wanted, Answer):
            return wanted or ask
        entry.kind = kind_of(wanted.schema)
        replies = self._script.json_replies
        if replies == JsonReplies.IGNORED:
            return ask
        return refusal(wanted, replies) or ask._replace(json=wanted)

    def reply(self, ask: Ask, entry: LogEntry) -> Reply:
        """The reply to what was read; the truth about it goes into `entry`, unless a fault will spoil it."""
        script, kind, key = self._script, entry.kind, entry.prompt_sha256
        if kind is None:
            return self._canned_reply
        if script.style is not None:
            reply = styled_reply(ask, kind, key, seed=script.seed, style=script.style)
        elif ask.json is not None:
            is_quick = script.replies == Replies.QUICK
            reply = json_reply(ask, kind, key, seed=script.seed, rates=script, is_quick=is_quick)
        else:
            return self._unstyled(ask, kind, key)
        entry.truth = reply.truth if entry.fault is None else None
        return reply

    def _unstyled(self, ask: Ask, kind: Kind, prompt_sha256: str) -> Reply:
        script = self._script
        if script.replies == Replies.QUICK:
            return quick_reply(ask, kind, prompt_sha256, seed=script.seed, rates=script)
        return reply_to(ask, seed=script.seed, rates=script, kind=kind)

    def body(self, ask: Ask, reply: Reply, *, reply_id: str, model: str, fault: Fault | None = None) -> bytes:
        """The bytes of a reply in the shape of the API that was asked, as the fault leaves it."""
        if fault is not None:
            return bent_body(fault, reply_body(ask, reply, reply_id=reply_id, model=model))
        if reply is self._canned_reply:
            return self._canned_bodies[ask.chat, model]
        return orjson.dumps(reply_body(ask, reply, reply_id=reply_id, model=model))

    def canned_body(self, *, chat: bool) -> bytes:
        """The bytes of the reply that every canned request gets."""
        return self._canned_bodies[chat, self._script.model]

    @property
    def num_canned_tokens(self) -> int:
        return self._canned_reply.num_tokens

    def _refusal(self, ask: Ask) -> Answer | None:
        """The answer to a request that is too long, or that sets what this model does not take."""
        for name in self._script.refused_parameters:
            if name in ask.fields:
                return _unsupported(name)
        limit = self._script.max_model_len
        if limit is not None and ask.num_prompt_tokens + (ask.max_tokens or 0) > limit:
            return _OVERFLOWS[self._script.overflow](limit, ask.num_prompt_tokens, ask.max_tokens or 0)
        return None


def _refused(message: str, kind: str, parameter: str | None, code: str | int) -> Answer:
    error = {"message": message, "type": kind, "param": parameter, "code": code}
    return Answer(400, orjson.dumps({"error": error}))


def _unsupported(name: str) -> Answer:
    told = f"Unsupported parameter: '{name}' is not supported with this model."
    return _refused(told, "invalid_request_error", name, "unsupported_parameter")


def _openai_overflow(limit: int, num_prompt: int, num_asked: int) -> Answer:
    told = (
        f"This model's maximum context length is {limit} tokens. However, you requested {num_prompt + num_asked} "
        f"tokens ({num_prompt} in the messages, {num_asked} in the completion). Please reduce the length of either."
    )
    return _refused(told, "invalid_request_error", "messages", "context_length_exceeded")


def _vllm_overflow(limit: int, num_prompt: int, num_asked: int) -> Answer:
    """VLLM blames max_tokens where the prompt by itself would fit."""
    about = f"This model's maximum context length is {limit} tokens"
    if num_prompt >= limit:
        told = (
            f"{about}. However, your request has {num_prompt} input tokens. Please reduce the length of the messages."
        )
        return _refused(told, "BadRequestError", None, 400)
    told = (
        f"'max_tokens' or 'max_completion_tokens' is too large: {num_asked}. {about} and your request has {num_prompt} "
        f"input tokens ({num_asked} > {limit} - {num_prompt})."
    )
    return _refused(told, "BadRequestError", None, 400)


def _llamacpp_overflow(limit: int, num_prompt: int, _num_asked: int) -> Answer:
    told = "the request exceeds the available context size, try increasing it"
    error = {"code": 400, "message": told, "type": "exceed_context_size_error"}
    return Answer(400, orjson.dumps({"error": error | {"n_prompt_tokens": num_prompt, "n_ctx": limit}}))


_OVERFLOWS: Final = {
    Overflow.OPENAI: _openai_overflow,
    Overflow.VLLM: _vllm_overflow,
    Overflow.LLAMACPP: _llamacpp_overflow,
}
