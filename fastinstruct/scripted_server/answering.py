"""What a posted body asks for, and the body that answers it: written for the prompt, quick, or canned.

Knows nothing of connections, faults or time. Guarantees that what is answered is a function of the script and the
request; a reply's id and the model's name apart, which the server gives.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orjson

from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.messages import Answer, error_answer
from fastinstruct.scripted_server.quick import quick_reply
from fastinstruct.scripted_server.replies import Kind, Replies, ReplyRates, recognise, reply_to
from fastinstruct.scripted_server.shapes import Ask, Reply, read_ask, reply_body

if TYPE_CHECKING:
    from fastinstruct.scripted_server.log import LogEntry
    from fastinstruct.scripted_server.script import Script

__all__ = ["Answerer"]


_CANNED_RATES: Final = ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=0.0)
_CANNED_ID: Final = "scr-0"


class Answerer:
    """Reads requests and writes replies as a script has it.

    Args:
        script: names the model, and how replies come about.
        needs_hash: whether a canned request's body is hashed, for draws that depend on it or for the log.
    """

    def __init__(self, script: Script, *, needs_hash: bool) -> None:
        self._script = script
        self._needs_hash = needs_hash
        self._canned_asks = {chat: Ask(chat=chat, model=script.model, prompt="") for chat in (False, True)}
        self._canned_reply = quick_reply(
            self._canned_asks[True], Kind.INSTRUCTIONS, "", seed=script.seed, rates=_CANNED_RATES
        )
        self._canned_bodies = {chat: self._encoded(ask, self._canned_reply) for chat, ask in self._canned_asks.items()}

    def read(self, path: str, body: bytes, entry: LogEntry) -> Ask | Answer:
        """What a request asks for, or the answer that refuses it; what it is about is noted in `entry`."""
        if self._script.replies == Replies.CANNED:
            if self._needs_hash:
                entry.prompt_sha256 = sha256(body).hexdigest()
            return self._canned_asks[path == "/v1/chat/completions"]
        ask = read_ask(path, body)
        if isinstance(ask, str):
            return error_answer(400, "invalid_request", ask)
        if ask.model != self._script.model:
            told = f"the model does not exist; {self._script.model!r} does"
            return error_answer(404, "model_not_found", told)
        entry.kind, entry.prompt_sha256 = recognise(ask.prompt), text_sha256(ask.prompt)
        return ask

    def reply(self, ask: Ask, entry: LogEntry) -> Reply:
        """The reply to what was read."""
        script = self._script
        if entry.kind is None:
            return self._canned_reply
        if script.replies == Replies.QUICK:
            return quick_reply(ask, entry.kind, entry.prompt_sha256, seed=script.seed, rates=script)
        return reply_to(ask, seed=script.seed, rates=script)

    def body(self, ask: Ask, reply: Reply, *, reply_id: str) -> bytes:
        """The bytes of a reply in the shape of the API that was asked."""
        if reply is self._canned_reply:
            return self._canned_bodies[ask.chat]
        return orjson.dumps(reply_body(ask, reply, reply_id=reply_id))

    @property
    def num_canned_tokens(self) -> int:
        return self._canned_reply.num_tokens

    def canned_body(self, *, chat: bool) -> bytes:
        """The bytes of the reply that every canned request gets."""
        return self._canned_bodies[chat]

    def _encoded(self, ask: Ask, reply: Reply) -> bytes:
        return orjson.dumps(reply_body(ask, reply, reply_id=_CANNED_ID))
