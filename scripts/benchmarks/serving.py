"""How many requests `src/serve.py` answers, beside FastAPI with one text a call.

    python scripts/benchmarks/serving.py run=logs/classification/2026-11-26/10-00-00 seconds=5

Each server is a process of its own on loopback, and the clients are another. Every client keeps one connection and
sends its next request when the last is answered. `bad=0.1` sends bad ones along: with no text, with a text that is
too long, too large, or cut off. Any answer but the expected one counts as lost. ONNX Runtime is compared too where
the run has an export (`src/export.py format=onnx`). `requests=10000` sends so many to each of ours, by 16 clients,
and shows the memory of the server before and after.
"""

import asyncio
import json
import multiprocessing
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn
from fastapi import FastAPI, Request
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from maskwright.inference.graph import is_graph
from maskwright.run.serve import engine_of, make_application
from maskwright.settings.commands import ServeSettings

ROOT = Path(__file__).resolve().parents[2]
TEXT = "A quiet and clever film about people who cross the river at night and find what nobody else has looked for."


def settings(run: str, engine: str) -> ServeSettings:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("serve", [f"run={run}", "hardware=cpu", f"engine={engine}"])
    return ServeSettings.parse(OmegaConf.to_container(config, resolve=True))


def plain(asked: ServeSettings) -> FastAPI:
    """The server that a tutorial has: a model call for each text, in the threads of FastAPI."""
    app = FastAPI()
    for name, skill in engine_of(asked).skills.items():
        fixed: dict[str, Any] = (
            {"hide": (), "method": "independent", "top_k": 5, "beams": 5} if name == "fill" else {}
        )

        @app.post(f"/{name}", name=name)
        async def answer(request: Request, skill: Any = skill, fixed: Any = fixed) -> Any:
            text = (await request.json())["text"]
            return {"rows": await asyncio.to_thread(skill.answer, [text], **fixed)}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def run_server(kind: str, run: str, port: int) -> None:
    asked = settings(run, "onnx" if kind == "onnx" else "torch")
    uvicorn.run(
        plain(asked) if kind == "fastapi" else make_application(asked),
        host="127.0.0.1",
        port=port,
        log_level="error",
    )


async def load(
    address: str, path: str, text: str, clients: int, bad: float, seconds: float = 60, requests: int = 10**9
) -> dict[str, Any]:
    """Returns requests a second, percentiles in milliseconds, and how many were lost.

    Args:
        bad: the share of requests that are to be refused.
        seconds, requests: after which clients stop.
    """
    taken: list[float] = []
    lost = sent = 0
    end = time.perf_counter() + seconds
    kind = {"Content-Type": "application/json"}
    good, empty, long, large = (  # written once, as the clients share a process
        json.dumps({"text": own}).encode() for own in (text, "", "a" * 30_000, ["a" * 10_000] * 110)
    )
    refused = (empty, 422), (long, 422), (large, 413)

    async def client(number: int) -> None:
        nonlocal lost, sent
        async with httpx.AsyncClient(base_url=address, timeout=60) as own:
            turn = number
            while time.perf_counter() < end and sent < requests:
                sent, turn = sent + 1, turn + 1
                body, status = good, 200
                if bad and turn % round(1 / bad) == 0:
                    if (which := turn // round(1 / bad) % 4) == 3:
                        await cut_off(address, path)
                        continue
                    body, status = refused[which]
                began = time.perf_counter()
                try:
                    lost += (await own.post(path, content=body, headers=kind)).status_code != status
                except httpx.HTTPError:
                    lost += 1
                if status == 200:
                    taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    spent = time.perf_counter() - began
    taken.sort()
    return {
        "clients": clients,
        "requests_per_second": round(len(taken) / spent, 1),
        "p50_ms": round(1e3 * taken[len(taken) // 2], 2),
        "p99_ms": round(1e3 * taken[min(int(0.99 * len(taken)), len(taken) - 1)], 2),
        "sent": sent,
        "lost": lost,
    }


async def cut_off(address: str, path: str) -> None:
    """Sends half of a request, and goes away."""
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"text": "half')
    await writer.drain()
    writer.close()


def measure(kind: str, run: str, seconds: float, bad: float, requests: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=run_server, args=(kind, run, port))
    process.start()
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{address}/health").is_success:
                    break
            except httpx.ConnectError:
                assert process.is_alive(), "the server did not start"
                time.sleep(0.1)
        paths = [path for path in ("/classify", "/predict", "/tag", "/fill") if _answers(address, path)]
        path = paths[0]
        text = f"{TEXT} [MASK]" if path == "/fill" else TEXT
        asyncio.run(load(address, path, text, 16, 0, 2))  # warm
        bad = 0 if kind == "fastapi" else bad  # which it has no answer for
        for clients in (1, 16, 64):
            found = asyncio.run(load(address, path, text, clients, bad, seconds))
            print(json.dumps({"server": kind, "path": path, **found}), flush=True)
        if requests and kind != "fastapi":
            memory = psutil.Process(process.pid).memory_info
            before = memory().rss
            found = asyncio.run(load(address, path, text, 16, bad, 600, requests))
            sizes = {"mib_before": before >> 20, "mib_after": memory().rss >> 20}
            print(json.dumps({"server": kind, "path": path, **found, **sizes}), flush=True)
    finally:
        process.terminate()
        process.join(20)


def _answers(address: str, path: str) -> bool:
    return httpx.post(f"{address}{path}", json={"text": f"{TEXT} [MASK]"}, timeout=60).is_success


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    exported = is_graph(Path(given["run"]) / "export" / "onnx")
    for kind in ("maskwright", *["onnx"] * exported, "fastapi"):
        rest = float(given.get("seconds", 5)), float(given.get("bad", 0)), int(given.get("requests", 0))
        measure(kind, given["run"], *rest)


if __name__ == "__main__":
    main()
