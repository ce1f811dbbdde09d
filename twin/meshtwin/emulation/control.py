"""Client of the control connection: faults and truth, for tests and demonstrations."""

import asyncio
import json
from typing import Any, Self

from meshtwin.emulation.server import LINE_LIMIT
from meshtwin.errors import InvalidInput, Unavailable

__all__ = ["MeshControl"]


class MeshControl:
    """One control connection to an emulated mesh; requests are answered one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, host: str, port: int, token: str) -> Self:
        """Connect; raises `Unavailable` if nobody answers."""
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=LINE_LIMIT)
        except OSError as error:
            raise Unavailable(f"mesh not connected: {error}", place=f"{host}:{port}") from error
        hello = {"op": "hello", "token": token, "control": True}
        writer.write(json.dumps(hello).encode() + b"\n")
        return cls(reader, writer)

    async def act(self, **action: Any) -> dict[str, Any]:
        """Do one action of the control protocol; raises `InvalidInput` if it is refused."""
        async with self._turn:
            self._writer.write(json.dumps(action).encode() + b"\n")
            line = await self._reader.readline()
        if not line:
            raise Unavailable("mesh closed the control connection")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InvalidInput(str(answer["error"]))
        return answer

    async def truth(self) -> dict[str, Any]:
        """What only tests may know."""
        return await self.act(op="truth")

    def close(self) -> None:
        """End the connection."""
        self._writer.close()
