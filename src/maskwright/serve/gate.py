"""What stands before all endpoints: the key, the size of a request, the time it takes to arrive; and counts."""

import asyncio
import hmac
import time
from collections.abc import Collection

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskwright.serve.metrics import Metrics

_FORGOTTEN = 16  # times the size that is allowed
_SECONDS = 30  # in which the body of a request has to arrive


class Gate:
    """An ASGI middleware. It reads the body of a request before anything else sees it.

    Args:
        key: what `Authorization: Bearer …` or `X-API-Key` has to say; None asks for nothing.
        max_bytes: of a body.
        paths: the endpoints, which metrics are counted by.
        open_paths: those that need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        key: str | None,
        max_bytes: int,
        paths: Collection[str],
        open_paths: Collection[str],
    ):
        self.app, self.metrics, self.max_bytes = app, metrics, max_bytes
        self.key = None if key is None else key.encode()
        self.paths, self.open_paths = paths, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 499  # the client went away

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, counted)
        except ClientDisconnect:
            pass
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.request(path, status, time.monotonic() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if not self._knows(scope["path"], headers):
            refusal = _error(401, "This server needs its key: send it as the header X-API-Key.")
            await refusal(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._body(headers, receive), _SECONDS)
        except TimeoutError:
            await _error(408, f"The request did not arrive within {_SECONDS} seconds.")(scope, receive, send)
            return
        if body is None:
            what = f"The request is larger than {self.max_bytes:,} bytes. Send fewer or shorter texts."
            await _error(413, what)(scope, receive, send)
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    def _knows(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if self.key is None or path in self.open_paths:
            return True
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return hmac.compare_digest(given, self.key)  # in constant time

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Returns the body; None if it is too large.

        Of what is too large, some is read and forgotten: a client that is still sending when the connection is
        closed never sees the answer.
        """
        said = headers.get(b"content-length", b"0")
        most = _FORGOTTEN * self.max_bytes
        if said.isdigit() and int(said) > most:
            return None
        body, size = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            size += len(part)
            if size <= self.max_bytes:
                body += part
            if size > most or not message.get("more_body"):
                return bytes(body) if size <= self.max_bytes else None


def _error(status: int, what: str) -> JSONResponse:
    # the rest of a body that is not read would be taken for the next request
    return JSONResponse({"error": what}, status, headers={"Connection": "close"})
