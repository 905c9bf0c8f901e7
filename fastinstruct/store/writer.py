"""The one thread that writes: group commit in submission order.

Knows nothing of what the rows mean. While one transaction is being forced to disk the next one gathers, so the disk
sets the pace and a lone commit waits for nobody. The first failure is final: later submissions fail with it, so
nothing is ever stored after a gap.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from fastinstruct.errors import StoreError
from fastinstruct.store.schema import store_error

__all__ = ["Writer"]

Write = Callable[[sqlite3.Connection], None]
_MAX_GROUP = 4096  # bounds one transaction, and with it the longest wait for an acknowledgement


class Writer:
    """Owns a connection and a thread; `submit` may be called from any thread of its process.

    A forked child has neither: what it submits fails, and what it closes is left to the process that opened it.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, guard: Callable[[], None]) -> None:
        self._connection = connection
        self._guard = guard  # raises StoreError where nothing may be written any more
        self._path = path
        self._queue: queue.SimpleQueue[tuple[Write, Future[None]] | None] = queue.SimpleQueue()
        self._opened_in = os.getpid()
        self._failure: StoreError | None = None
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="fastinstruct-writer", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> Future[None]:
        """Queue one write; the future is done when it is on disk, or has failed with `StoreError`.

        It cannot be cancelled: what is submitted is written, whether or not its caller still waits.
        """
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        if os.getpid() != self._opened_in:  # its lock may be held for ever
            future.set_exception(StoreError(f"{self._path}: was opened before this process was forked; open it here"))
            return future
        with self._closing:
            if self._is_closed:  # nobody would ever take it from the queue
                future.set_exception(StoreError(f"{self._path}: is closed"))
            else:
                self._queue.put((write, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, then close the connection."""
        if os.getpid() != self._opened_in:
            return
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            group, is_last = self._gather()
            if group:
                self._commit(group)
            if is_last:
                return

    def _gather(self) -> tuple[list[tuple[Write, Future[None]]], bool]:
        """Wait for a first write, then take all that have come meanwhile."""
        group = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) >= _MAX_GROUP:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: Sequence[tuple[Write, Future[None]]]) -> None:
        if self._failure is None:
            self._failure = self._write([write for write, _ in group])
        for _, future in group:
            if self._failure is None:
                future.set_result(None)
            else:
                future.set_exception(self._failure)

    def _write(self, writes: Sequence[Write]) -> StoreError | None:
        try:
            self._guard()
            self._connection.execute("BEGIN IMMEDIATE")
            for write in writes:
                write(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return store_error(self._path, error)
        except StoreError as error:
            self._roll_back()
            return error
        except Exception as error:  # noqa: BLE001 - a bug in a write must reach its caller, not end this thread
            self._roll_back()
            failure = StoreError(f"{self._path}: a write failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            return failure
        return None

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the transaction was never acknowledged: SQLite undoes it when the file is next opened
