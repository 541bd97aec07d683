"""Serves a finished run, a model of the hub, or an export for ONNX Runtime."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.inference.graph import is_graph
from maskwright.serve.engine import Engine
from maskwright.settings.commands import ServeSettings


def run_serve(cfg: DictConfig) -> None:
    """Serves what a composed `conf/serve.yaml` describes, until SIGTERM or Ctrl-C.

    Raises:
        UserError: there is no such model, the key is empty, or the port is taken.
    """
    asked = ServeSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    key = None if asked.api_key is None else os.environ.get(asked.api_key)
    if key is not None and not key.strip():
        raise UserError(f"The environment variable {asked.api_key} is empty. Give it the key, or unset it.")
    serve(asked, make_application(asked, key))


def make_application(asked: ServeSettings, key: str | None = None) -> Any:
    """Returns the web application of a model.

    Raises:
        UserError: there is no such model, or what serves it is not installed.
    """
    try:
        from maskwright.serve.app import Limits, make_app
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette"):
            raise
        raise UserError('src/serve.py needs fastapi and uvicorn: pip install "maskwright[serve]"') from None
    limits = Limits(asked.max_texts, asked.max_characters, asked.max_bytes, asked.max_batch, asked.max_waiting)
    return make_app(engine_of(asked), limits, key)


def engine_of(asked: ServeSettings) -> Engine:
    """Returns what answers.

    Raises:
        UserError: there is no such model, or the engine cannot open it.
    """
    # an engine imports what it computes with, which need not all be installed
    if (folder := _graph(asked)) is not None:
        from maskwright.run import serve_onnx

        return serve_onnx.engine_of(asked, folder)
    try:
        from maskwright.run import serve_torch
        from maskwright.run.ask import open_checkpoint
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            f"run={asked.run} needs PyTorch, which is not installed. Name a folder that src/export.py wrote with "
            "format=onnx, or install it."
        ) from None
    return serve_torch.engine_of(asked, open_checkpoint(asked.run, asked.checkpoint))


def _graph(asked: ServeSettings) -> Path | None:
    """Returns the folder that ONNX Runtime is to open, if it is to open one.

    Raises:
        UserError: there is none, or another engine is asked for.
    """
    place = Path(asked.run).expanduser()
    if is_graph(place):
        if asked.engine == "torch":
            raise UserError(
                f"run={asked.run} is an export of format=onnx. Set engine=onnx, or name the run itself."
            )
        return place
    if asked.engine != "onnx":
        return None
    if is_graph(place / "export" / "onnx"):
        return place / "export" / "onnx"
    raise UserError(
        f"run={asked.run} has no export for engine=onnx. Write one: python src/export.py run={asked.run} "
        "format=onnx"
    )


def serve(asked: ServeSettings, app: Any) -> None:
    """Listens until a signal; what was begun then is finished.

    Raises:
        UserError: the address or the port cannot be had.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        host=asked.host,
        port=asked.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=asked.grace,
        limit_concurrency=None,
        server_header=False,
    )

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ends in good order, and does not raise the signal once more afterwards."""
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    try:
        socket = config.bind_socket()
    except SystemExit:
        raise UserError(f"port={asked.port} of host={asked.host} cannot be listened at. Is it taken?") from None
    host, port = socket.getsockname()[:2]
    console().print(f"{asked.run} is served at http://{host}:{port} (Ctrl-C ends it)")
    Server(config).run(sockets=[socket])
