"""A mail server that takes everything at once and keeps nothing, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

HELLO = b"250-relay\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250 8BITMIME\r\n"
END = b"\r\n.\r\n"


@contextmanager
def running() -> Iterator[int]:
    """The port of 127.0.0.1 where it listens."""
    with Popen([sys.executable, "-m", "benchmarks.relay"], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Relay(asyncio.Protocol):
    """As little work as can be: it looks for a message's end, and answers line by line before and after."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._is_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 relay\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        answers = []
        while answer := self._next():
            answers.append(answer)
        self._transport.write(b"".join(answers))

    def _next(self) -> bytes | None:
        """The answer to the next line or message, if all of it is there."""
        mark = END if self._is_content else b"\r\n"
        end = self._received.find(mark)
        if end < 0:
            return None
        command = bytes(self._received[:4]).upper()
        del self._received[: end + len(mark)]
        if self._is_content:
            self._is_content = False
            return b"250 2.0.0 Ok: queued as 4XyZ1a2b3c\r\n"
        if command == b"DATA":
            self._is_content = True
            return b"354 go on\r\n"
        return {b"EHLO": HELLO, b"QUIT": b"221 bye\r\n"}.get(command, b"250 Ok\r\n")


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Relay, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
