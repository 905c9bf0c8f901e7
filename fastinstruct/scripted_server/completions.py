"""What a request that asks the model meets on its way: the door, a slot, its latency, and a reply or a fault.

Knows nothing of sockets and routes, nor of what replies say and when faults strike. Guarantees that every call that
begins ends once, whatever happens to its connection; and that an answer is logged before its first byte leaves (before
the first of its body, where blank lines drip ahead of it).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from fastinstruct.scripted_server.answering import Answerer
from fastinstruct.scripted_server.connections import Call, Connection, Place, Route
from fastinstruct.scripted_server.faults import AT_ONCE, NEEDS_REPLY, Fault, fault_answer
from fastinstruct.scripted_server.hints import RetryHint, hint_headers, hint_words
from fastinstruct.scripted_server.limits import RateLimits
from fastinstruct.scripted_server.log import Log
from fastinstruct.scripted_server.messages import Answer, error_answer, message
from fastinstruct.scripted_server.misbehaving import NO_ANSWER, drip, dripped, misbehave
from fastinstruct.scripted_server.replies import Replies
from fastinstruct.scripted_server.script import Script
from fastinstruct.scripted_server.slots import Slots
from fastinstruct.scripted_server.stats import Stats
from fastinstruct.scripted_server.troubles import Troubles

__all__ = ["Completions"]

_COUNT_EVERY_S: Final = 0.01
_QUEUE_FULL: Final = error_answer(503, "queue_full", "the queue is full, please try again later")


class Completions:
    """Serves the two routes that ask the model; `serve` is for them, `serve_canned` where nothing is to be decided."""

    def __init__(self, script: Script, stats: Stats, log: Log) -> None:
        self._script, self._stats, self._log = script, stats, log
        self._slots = Slots(stats, num_slots=script.slots, max_queue=script.max_queue)
        self._limits = RateLimits(script) if script.has_budgets else None
        self._is_traced = log.is_used or not script.is_plain
        self._troubles = Troubles(script) if log.is_used or script.has_troubles else None
        self._has_latency = not script.latency.is_none
        self._answerer = Answerer(script, needs_hash=self._is_traced)
        self._canned = {
            path: message(Answer(200, self._answerer.canned_body(chat="chat" in path)))
            for path in ("/v1/completions", "/v1/chat/completions")
        }
        self._num_replies = self._num_uncounted = 0

    @property
    def is_bare(self) -> bool:
        """Whether `serve_canned` does what `serve` does."""
        return self._script.replies == Replies.CANNED and not self._is_traced

    @property
    def model(self) -> str:
        """The name of the model as answers tell it now."""
        script = self._script
        is_new = script.new_model is not None and self._num_replies >= script.new_model_after
        return script.new_model or script.model if is_new else script.model

    def serve_canned(self, connection: Connection, route: Route, _body: bytes) -> None:
        """Answer with the same bytes, and count: no more, so that a client meets its own limits, not the server's."""
        self._num_uncounted += 1
        if self._num_uncounted == 1:
            asyncio.get_running_loop().call_later(_COUNT_EVERY_S, self.count_canned)
        connection.send_bytes(self._canned[route.path])

    def count_canned(self) -> None:
        """Count what `serve_canned` answered: together, because each by itself costs as much as answering it."""
        num_answered, self._num_uncounted = self._num_uncounted, 0
        if num_answered:
            self._stats.came(time.monotonic(), num_answered)
            self._stats.granted(time.monotonic(), 0, num_answered * self._answerer.num_canned_tokens)
            self._stats.num_by_status[200] += num_answered

    def serve(self, connection: Connection, route: Route, body: bytes) -> None:
        """Begin a call; it may end at once, after a while, or with its connection."""
        now_s = time.monotonic()
        self._stats.came(now_s)
        call = connection.call = Call(connection, self._log.begin(route.path, now_s))
        refusal = self._refusal(call, body, now_s)
        if refusal is not None:
            self._answer(call, refusal)
        elif call.entry.fault in AT_ONCE:
            self._complete(call)
        elif not self._slots.enter(call, now_s):
            self._answer(call, _QUEUE_FULL)
        elif call.place is Place.SERVING:
            self._serve(call)

    def abandon(self, call: Call) -> None:
        """End a call whose connection is gone."""
        self._end(call, None)

    # --------------------------------------------------------------------------------------------------- at the door

    def _refusal(self, call: Call, body: bytes, now_s: float) -> Answer | None:
        """Read what is asked, and draw what is to come of it; the answer to what cannot be served."""
        entry = call.entry
        ask = self._answerer.read(entry.path, body, entry)
        if isinstance(ask, Answer):
            return ask
        call.ask = ask
        if self._troubles is not None:
            is_reused = call.connection.num_requests > 1
            entry.attempt, entry.fault = self._troubles.meet(entry.prompt_sha256, is_reused=is_reused)
        if entry.fault is None or entry.fault in NEEDS_REPLY:
            call.reply = self._answerer.reply(ask, entry)
        return None if entry.fault in AT_ONCE else self._beyond_budget(call, now_s)

    def _beyond_budget(self, call: Call, now_s: float) -> Answer | None:
        """The refusal of a request for which no budget is left; else its tokens are counted."""
        assert call.ask is not None
        num_prompt, num_reply = call.ask.num_prompt_tokens, call.reply.num_tokens if call.reply else 0
        wait_s = self._limits.wait_s(num_prompt + num_reply, now_s) if self._limits else 0.0
        if wait_s > 0:
            call.entry.fault = None  # it does not come so far
            return self._rate_limited(math.ceil(wait_s) if self._script.retry_hint == RetryHint.SECONDS else wait_s)
        self._stats.granted(now_s, num_prompt, num_reply)
        return None

    def _rate_limited(self, wait_s: float | None) -> Answer:
        """A 429 that tells to come back after `wait_s`, as the script has it."""
        hint = RetryHint.NONE if wait_s is None else self._script.retry_hint
        words = f"Rate limit reached.{hint_words(hint, wait_s or 0.0)}"
        return error_answer(429, "rate_limit_exceeded", words, headers=hint_headers(hint, wait_s or 0.0, time.time()))

    # ------------------------------------------------------------------------------------------------------ in a slot

    def _serve(self, call: Call) -> None:
        delay_s = 0.0
        if self._has_latency:
            delay_s = self._script.latency_s(call.entry.prompt_sha256, call.reply.num_tokens if call.reply else 0)
        if delay_s:
            call.connection.timer = asyncio.get_running_loop().call_later(delay_s, self._later, self._complete, call)
        else:
            self._complete(call)

    def _serve_waiting(self, call: Call) -> None:
        """Serve a call that has waited, unless its client left between being called up and now."""
        if call.place is Place.SERVING:
            self._serve(call)

    def _later(self, step: Callable[[Call], None], call: Call) -> None:
        """Take a step of a call, and what its connection holds next if it ended with that."""
        step(call)
        call.connection.advance()

    def _complete(self, call: Call) -> None:
        fault = call.entry.fault
        if fault is None or fault is Fault.PROSE:
            self._reply(call)
        elif fault is Fault.RATE_LIMITED:
            self._answer(call, self._rate_limited(self._script.retry_after_s))
        elif (answer := fault_answer(fault)) is not None:
            self._answer(call, answer)
        elif fault is Fault.DRIP:
            drip(call.connection, self._script.drip_every_s, None, lambda: None)
        elif fault is Fault.DRIP_REPLY:
            then = partial(self._later, self._reply, call)
            drip(call.connection, self._script.drip_every_s, self._script.num_drips, then)
        elif fault in NO_ANSWER:
            misbehave(call.connection, fault, message(Answer(200, self._body(call, "scr-0"))))
        else:
            self._answer(call, Answer(200, self._body(call, "scr-0")))

    def _reply(self, call: Call) -> None:
        """Answer with what the model says."""
        model = self.model
        self._num_replies += 1
        reply_id = f"scr-{self._num_replies}"
        body = self._body(call, reply_id, model)
        if call.entry.fault is Fault.DRIP_REPLY:
            self._end(call, 200, reply_id)
            call.connection.send_bytes(dripped(body))
        else:
            self._answer(call, Answer(200, body), reply_id)

    def _body(self, call: Call, reply_id: str, model: str | None = None) -> bytes:
        if call.ask is None or call.reply is None:
            return b""
        fault = call.entry.fault
        return self._answerer.body(call.ask, call.reply, reply_id=reply_id, model=model or self.model, fault=fault)

    # ------------------------------------------------------------------------------------------------------ the end

    def _answer(self, call: Call, answer: Answer, reply_id: str | None = None) -> None:
        if self._limits is not None:
            answer = self._with_budgets(answer, self._limits)
        self._end(call, answer.status, reply_id)
        call.connection.send(answer)

    def _with_budgets(self, answer: Answer, limits: RateLimits) -> Answer:
        if self._script.retry_hint == RetryHint.NONE or "x-ratelimit" in answer.headers:
            return answer
        return answer._replace(headers=answer.headers + limits.headers(time.monotonic()))

    def _end(self, call: Call, status: int | None, reply_id: str | None = None) -> None:
        """Log and count a call, and give its slot to the next."""
        call.connection.call = None
        entry = call.entry
        entry.reply_id = reply_id
        self._log.end(entry, status)
        self._stats.num_by_status[status] += 1
        if entry.fault is not None:
            self._stats.num_by_fault[entry.fault] += 1
        if call.place is Place.OUTSIDE:
            return
        follower = self._slots.leave(call, entry.ended_s or 0.0)
        if follower is not None:  # in a turn of its own: a long queue of answers at once would be a deep recursion
            asyncio.get_running_loop().call_soon(self._later, self._serve_waiting, follower)
