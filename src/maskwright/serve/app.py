"""The web application: an endpoint for each skill of an engine, health, metrics, and a page."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from maskwright.core.errors import UserError
from maskwright.serve.batcher import Batcher, Busy
from maskwright.serve.engine import Engine
from maskwright.serve.gate import Gate
from maskwright.serve.metrics import Metrics
from maskwright.serve.requests import REQUESTS

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {  # no request leaves the machine, whatever a text holds
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Limits:
    """How much a server takes.

    Attributes:
        texts: of a request.
        characters: of a text.
        bytes: of the body of a request.
        batch: texts of a batch.
        waiting: texts that may wait.
    """

    texts: int = 64
    characters: int = 20_000
    bytes: int = 2**20
    batch: int = 32
    waiting: int = 1024


def make_app(engine: Engine, limits: Limits, key: str | None = None) -> FastAPI:
    """Returns the application.

    Args:
        key: what requests have to send; None asks for none.
    """
    metrics = Metrics()
    batcher = Batcher(engine, metrics, limits.batch, limits.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close)

    # the pages /docs and /redoc load scripts from elsewhere
    app = FastAPI(title="Maskwright", docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_errors(app)
    for name in engine.skills:
        app.post(f"/{name}", name=name)(_endpoint(name, engine, batcher, limits))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/about")
    async def about() -> dict[str, Any]:
        return {"model": engine.model, "engine": engine.name, "endpoints": [*engine.skills], **engine.about}

    @app.get("/metrics")
    async def counts() -> PlainTextResponse:
        return PlainTextResponse(metrics.text())

    for path, (file, kind) in _FILES.items():
        app.get(path, include_in_schema=False)(_static(file, kind))
    own = {"/health", "/about", "/metrics", *_FILES, *(f"/{name}" for name in engine.skills)}
    app.add_middleware(
        Gate, metrics=metrics, key=key, max_bytes=limits.bytes, paths=own, open_paths={"/health", *_FILES}
    )
    return app


def _endpoint(name: str, engine: Engine, batcher: Batcher, limits: Limits) -> Callable[..., Any]:
    schema, check = REQUESTS[name], engine.skills[name].check

    async def answer(request) -> dict[str, Any]:
        options = request.model_dump(exclude={"text"})
        texts = [request.text] if isinstance(request.text, str) else request.text
        _check(texts, limits)
        for number, text in enumerate(texts, start=1):
            try:
                check(text, **options)
            except UserError as error:
                raise HTTPException(422, f"text {number}: {error}") from None
        try:
            done = batcher.submit(name, texts, options)
        except Busy:
            raise HTTPException(503, "Too many texts wait. Try again in a moment.", {"Retry-After": "1"}) from None
        try:
            return {"rows": await asyncio.wrap_future(done)}
        except UserError as error:
            raise HTTPException(422, str(error)) from None

    answer.__annotations__ = {"request": schema, "return": dict[str, Any]}
    answer.__doc__ = schema.__doc__
    return answer


def _check(texts: list[str], limits: Limits) -> None:
    """Raises an HTTPException for texts that no skill takes."""
    if not 1 <= len(texts) <= limits.texts:
        raise HTTPException(422, f"text: {len(texts)} texts; send from 1 to {limits.texts:,} of them.")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise HTTPException(422, f"text {number} is empty.")
        if len(text) > limits.characters:
            raise HTTPException(
                422, f"text {number} has {len(text):,} characters; send at most {limits.characters:,}."
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise HTTPException(422, f"text {number} is no Unicode at its character {error.start}.") from None


def _add_errors(app: FastAPI) -> None:
    """Makes all errors `{"error": sentence}`."""

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        said = []
        for found in error.errors():
            where = ".".join(str(part) for part in found["loc"][1:] if part != "str" and "[" not in str(part))
            is_json = where and found["type"] != "json_invalid"
            said.append(f"{where}: {found['msg']}" if is_json else f"The request is no JSON object: {found['msg']}")
        return JSONResponse({"error": "; ".join(dict.fromkeys(said))}, 422)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        logging.getLogger("uvicorn.error").error("%s failed", request.url.path, exc_info=error)
        return JSONResponse({"error": "The server failed at this request."}, 500)


def _static(file: str, kind: str) -> Callable[..., Any]:
    content = (_PAGE / file).read_text()

    async def send() -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return send
