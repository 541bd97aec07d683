"""How many requests `src/serve.py` answers, beside FastAPI with one text a call.

    python scripts/benchmarks/serving.py run=logs/classification/2026-11-26/10-00-00 seconds=5

Each server is a process of its own on loopback, and the clients are another. Every client keeps one connection and
sends its next request when the last is answered. `bad=0.1` sends bad ones along; any answer but the expected one
counts as lost.
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
import uvicorn
from fastapi import FastAPI, Request
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from maskwright.run.serve import engine_of, make_application
from maskwright.settings.commands import ServeSettings

ROOT = Path(__file__).resolve().parents[2]
TEXT = "A quiet and clever film about people who cross the river at night and find what nobody else has looked for."


def settings(run: str) -> ServeSettings:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("serve", [f"run={run}", "hardware=cpu"])
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
    asked = settings(run)
    app = make_application(asked) if kind == "maskwright" else plain(asked)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


async def load(address: str, path: str, text: str, clients: int, seconds: float, bad: float) -> dict[str, Any]:
    """Returns requests a second, percentiles in milliseconds, and how many were lost."""
    taken: list[float] = []
    lost = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal lost
        async with httpx.AsyncClient(base_url=address, timeout=60) as own:
            turn = number
            while time.perf_counter() < end:
                turn += 1
                broken = bad and turn % round(1 / bad) == 0
                began = time.perf_counter()
                try:
                    response = await own.post(path, json={"text": "" if broken else text})
                    lost += response.status_code != (422 if broken else 200)
                except httpx.HTTPError:
                    lost += 1
                if not broken:
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
        "lost": lost,
    }


def measure(kind: str, run: str, seconds: float, bad: float) -> None:
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
        asyncio.run(load(address, path, text, 4, 0.5, 0))  # warm
        for clients in (1, 16, 64):
            found = asyncio.run(load(address, path, text, clients, seconds, bad if kind == "maskwright" else 0))
            print(json.dumps({"server": kind, "path": path, **found}), flush=True)
    finally:
        process.terminate()
        process.join(20)


def _answers(address: str, path: str) -> bool:
    return httpx.post(f"{address}{path}", json={"text": f"{TEXT} [MASK]"}, timeout=60).is_success


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for kind in ("maskwright", "fastapi"):
        measure(kind, given["run"], float(given.get("seconds", 5)), float(given.get("bad", 0)))


if __name__ == "__main__":
    main()
