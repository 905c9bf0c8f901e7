"""A listening socket on loopback, at once or only after a while.

Knows nothing of HTTP. What a client meets meanwhile is `UntilReady`'s, all but a server that listens and says 503.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fastinstruct.scripted_server.script import UntilReady

__all__ = ["Listener"]

_BACKLOG: Final = 4096


class Listener:
    """Accepts connections on 127.0.0.1 after `after_s`; until then the port is taken, and as `until_ready` has it.

    Raises:
        OSError: the port cannot be taken; `filename` names it.
    """

    def __init__(self, port: int, *, after_s: float, until_ready: UntilReady) -> None:
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, error.strerror, f"port {port}") from error
        self.port: int = self._socket.getsockname()[1]
        self._after_s, self._until_ready = after_s, until_ready
        self._filler: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Make a protocol for each connection, from now or later on.

        Raises:
            OSError: somebody else listens on the port.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, sock=self._socket, backlog=_BACKLOG, start_serving=False)
        if self._after_s == 0 or self._until_ready == UntilReady.LOADING:
            try:
                await self._server.start_serving()
            except OSError:
                await self.close()
                raise
            return
        if self._until_ready == UntilReady.UNACCEPTED:
            self._socket.listen(_BACKLOG)
        elif self._until_ready == UntilReady.UNCONNECTABLE:
            self._socket.listen(0)
            # It takes the only place; what others send to connect is dropped, and they try again and again.
            self._filler = socket.create_connection(("127.0.0.1", self.port))
        self._task = asyncio.create_task(self._open_later())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._stop_filling()
        self._server.close()
        await self._server.wait_closed()
        self._socket.close()

    async def _open_later(self) -> None:
        await asyncio.sleep(self._after_s)
        self._stop_filling()
        await self._server.start_serving()

    def _stop_filling(self) -> None:
        if self._filler is not None:
            self._filler.close()
