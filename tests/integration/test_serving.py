"""Models that `src/serve.py` serves, as programs and people ask them."""

import json
import re
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi.responses import HTMLResponse
from omegaconf import OmegaConf
from starlette.testclient import TestClient

from maskwright.core.errors import UserError
from maskwright.run.serve import make_application
from maskwright.settings.commands import ServeSettings
from tests.conftest import compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TEXT = "the old [MASK] crosses the river at night."


def application(place, *overrides: str, key: str | None = None):
    config = compose_command("serve", f"run={place}", "hardware=cpu", *overrides)
    return make_application(ServeSettings.parse(OmegaConf.to_container(config, resolve=True)), key)


@pytest.fixture(scope="module")
def client(hub_model):
    with TestClient(application(hub_model, "max_texts=3", "max_characters=150", "max_bytes=5000")) as client:
        yield client


def test_masks_are_filled(client):
    (row,) = client.post("/fill", json={"text": TEXT, "top_k": 3}).raise_for_status().json()["rows"]
    assert len(row["fills"]) == 3
    assert row["masks"][0]["probabilities"] == sorted(row["masks"][0]["probabilities"], reverse=True)
    hidden = client.post("/fill", json={"text": ["the river", "a river"], "hide": ["river"]}).json()["rows"]
    assert [row["text"] for row in hidden] == ["the river", "a river"]


def test_texts_are_scored_masked_and_explained(client):
    (row,) = client.post("/score", json={"text": "the river"}).raise_for_status().json()["rows"]
    assert row["pll"] < 0
    for strategy in client.get("/about").json()["strategies"]:
        ask = {"text": "the old man crosses the river at night.", "strategy": strategy, "ratio": 0.4, "draw": 2}
        (row,) = client.post("/mask", json=ask).raise_for_status().json()["rows"]
        assert "".join(part["text"] for part in row["segments"]) == row["text"]
        assert {part["kind"] for part in row["segments"]} > {"plain"}
    (row,) = client.post("/explain", json={"text": TEXT}).raise_for_status().json()["rows"]
    (found,) = row["explanations"]
    assert len(found["values"]) == len(found["spans"]) > 5


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/fill", {"text": "no mask"}, 422, "text 1: The text 'no mask' has no mask"),
        ("/fill", {"text": [TEXT, ""]}, 422, "text 2 is empty"),
        ("/fill", {"text": []}, 422, "send from 1 to 3"),
        ("/fill", {"text": ["a"] * 4}, 422, "send from 1 to 3"),
        ("/fill", {"text": "a" * 151}, 422, "has 151 characters; send at most 150"),
        ("/fill", {"text": TEXT, "top_k": 0}, 422, "top_k: "),
        ("/fill", {"text": TEXT, "topk": 1}, 422, "topk: Extra inputs"),
        ("/fill", {"text": TEXT, "hide": ["river", "sea"]}, 422, "hide='sea' is no word"),
        ("/fill", {"txt": TEXT}, 422, "text: Field required"),
        ("/fill", {"text": 7}, 422, "text: "),
        ("/fill", {"text": "a [MASK] \ud800"}, 422, "is no Unicode at its character 9"),
        ("/fill", {"text": "a " * 70 + "[MASK]"}, 422, "tokens, but the model reads rows of 62"),
        ("/score", {"text": "a " * 70}, 422, "tokens, but the model reads rows of 62"),
        ("/mask", {"text": "a", "strategy": "pmi"}, 422, "strategy=pmi does not exist"),
        ("/mask", {"text": "a", "strategy": "token", "ratio": 0}, 422, "ratio: "),
        ("/explain", {"text": "no mask"}, 422, "has no [MASK]"),
        ("/explain", {"text": TEXT, "target": "no such token"}, 422, "is not one token of this model"),
        ("/fill", "{", 422, "The request is no JSON object"),
        ("/fill", "[]", 422, "The request is no JSON object"),
        ("/fill", " " * 5001, 413, "larger than 5,000 bytes"),
        ("/classify", {"text": "a"}, 404, "Not Found"),
    ],
)
def test_bad_requests_get_a_sentence(client, path, body, status, said):
    content = body if isinstance(body, str) else json.dumps(body)
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    assert said in response.json()["error"]
    assert client.post("/fill", json={"text": TEXT}).status_code == 200


def test_a_body_in_pieces_is_counted_too(client):
    pieces = (b" " * 1000 for _ in range(6))
    assert client.post("/fill", content=pieces).status_code == 413


def test_bad_texts_do_not_fail_those_that_come_at_the_same_time(client):
    answers = {}

    def ask(number: int) -> None:
        text = TEXT if number % 2 else "no mask"
        answers[number] = client.post("/explain", json={"text": text}).status_code

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: 200 if number % 2 else 422 for number in range(12)}


def test_health_metrics_and_the_page(client):
    assert client.get("/health").json() == {"status": "ok"}
    client.post("/fill", json={"text": TEXT})
    assert 'maskwright_requests_total{path="/fill",status="200"}' in client.get("/metrics").text
    for path in ("/", "/page.css", "/page.js"):
        page = client.get(path).raise_for_status()
        assert "://" not in page.text.replace("http://www.w3.org/2000/svg", "")
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_a_key_is_asked_for(hub_model):
    with TestClient(application(hub_model, key="secret é")) as client:
        for headers in ({}, {"X-API-Key": "secret"}, {"Authorization": "Bearer other"}):
            response = client.post("/fill", json={"text": TEXT}, headers=headers)
            assert response.status_code == 401
            assert "X-API-Key" in response.json()["error"]
        for name, value in (("X-API-Key", "secret é"), ("Authorization", "Bearer secret é")):
            assert client.post("/fill", json={"text": TEXT}, headers={name: value.encode()}).status_code == 200
        assert client.get("/health").status_code == client.get("/").status_code == 200
        assert client.get("/metrics").status_code == client.get("/about").status_code == 401


@pytest.mark.parametrize(
    ("task", "endpoint"), [("multitask", "classify"), ("regression", "predict"), ("tagging", "tag")]
)
def test_labels_are_predicted_and_explained(tune, task, endpoint):  # noqa: F811
    place = tune(task, "trainer.max_steps=1").run_dir
    texts = ["Ada Smith went to Paris.", "a wonderful delight"]
    with TestClient(application(place)) as client:
        assert ("fill" in client.get("/about").json()["endpoints"]) == (task == "multitask")
        rows = client.post(f"/{endpoint}", json={"text": texts}).raise_for_status().json()["rows"]
        alone = client.post(f"/{endpoint}", json={"text": texts[1]}).raise_for_status().json()["rows"]
        assert [row["text"] for row in rows] == texts
        assert rows[1]["predicted"] == (
            pytest.approx(alone[0]["predicted"]) if task == "regression" else alone[0]["predicted"]
        )
        (row,) = client.post("/explain", json={"text": texts[0]}).raise_for_status().json()["rows"]
        assert row["read"].replace(" ", "").lower() == texts[0].replace(" ", "").lower()
        if task != "tagging":
            assert len(row["explanations"][0]["values"]) == len(row["explanations"][0]["spans"]) > 2
        else:
            assert len(rows[0]["words"]) == len(rows[0]["predicted"])


def test_an_engine_wants_an_export(hub_model):
    with pytest.raises(UserError, match="has no export for engine=onnx.*src/export.py"):
        application(hub_model, "engine=onnx")


@contextmanager
def listening(app):
    """Serves an application in a thread; yields its address."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


# a window cannot be narrower than 500 pixels without a frame around the page
_FRAMES = """<!doctype html><link rel="icon" href="data:,"><body>
<iframe src="/" style="width:1280px;height:900px"></iframe><iframe src="/" style="width:400px;height:900px"></iframe>
<script>
const until = async found => { for (let turn = 0; turn < 400 && !found(); turn++) await new Promise(r => setTimeout(r, 50)); return found(); };
async function use(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, seen = { names: [] };
  await until(() => page.querySelector("section:not([hidden])"));
  for (const section of page.querySelectorAll("section:not([hidden])")) {
    const form = section.querySelector("form"), answer = section.querySelector(".answer");
    if (form.dataset.ask === "mask") form.elements.ratio.dispatchEvent(new view.Event("input", { bubbles: true }));
    else form.elements.text.dispatchEvent(new view.KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    await until(() => answer.children.length && !answer.hasAttribute("aria-busy"));
    seen.names.push([form.dataset.ask, answer.querySelectorAll("meter, mark").length]);
  }
  const all = [...page.querySelectorAll("input, select, textarea")];
  return { ...seen, error: page.getElementById("error").textContent, width: view.innerWidth,
    wide: page.documentElement.scrollWidth - view.innerWidth, unlabelled: all.filter(own => !own.labels.length).length,
    unreachable: [...all, ...page.querySelectorAll("button")].filter(own => own.tabIndex < 0).length };
}
addEventListener("load", async () => {
  const found = [];
  for (const frame of document.querySelectorAll("iframe")) found.push(await use(frame));
  document.body.dataset.all = JSON.stringify(found);
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (apt-get install chromium)")
@pytest.mark.parametrize("kind", ["fill", "classify"])
def test_the_page_works_in_a_browser(hub_model, tune, tmp_path, kind):  # noqa: F811
    app = application(hub_model if kind == "fill" else tune("classification", "trainer.max_steps=1").run_dir)
    app.get("/frames")(lambda: HTMLResponse(_FRAMES))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    with listening(app) as address:
        command = [CHROMIUM, *options, "--virtual-time-budget=60000", "--dump-dom", f"{address}/frames"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = re.search(r'data-all="([^"]*)"', result.stdout)
    assert said, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    wide, narrow = json.loads(said[1].replace("&quot;", '"'))
    assert (wide["width"], narrow["width"]) == (1280, 400)
    for found in (wide, narrow):
        assert found["error"] == ""
        assert [name for name, _ in found["names"]] == [kind, "explain", "mask"]
        assert all(number > 1 for _, number in found["names"]), found["names"]
        assert found["wide"] <= 0
        assert found["unlabelled"] == found["unreachable"] == 0
