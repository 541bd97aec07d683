import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from maskwright.core.errors import UserError
from maskwright.reports.comparison import report
from maskwright.reports.comparison.compare import differing, group
from maskwright.reports.comparison.gather import gather
from tests.programs import call

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def make_run(folder: Path, ratio: float, seed: int, status: str = "completed", error: str | None = None) -> Path:
    folder.mkdir(parents=True)
    loss = 3 + ratio + seed / 10
    summary = {"status": status, "error": error, "metrics": {"test/loss": loss, "test/accuracy": None}}
    (folder / "summary.json").write_text(json.dumps(summary))
    config = {
        "mask": {"ratio": {"value": ratio}},
        "seed": seed,
        "data": {"limit": 40},
        "picture": f"{folder}/masks.png",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows = "".join(f"{step},{loss + 1 / (step + 1)},{loss if step % 10 == 0 else ''}\n" for step in range(1000))
    (folder / "metrics.csv").write_text("step,train/loss,validation/loss\n" + rows)
    return folder


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for number, (ratio, seed) in enumerate((r, s) for r in (0.15, 0.3) for s in (1, 2, 3)):
        make_run(tmp_path / "logs" / "sweep" / str(number), ratio, seed)
    make_run(tmp_path / "logs" / "failed", 0.3, 4, "failed", "</script><b>loss is not finite")
    return tmp_path / "logs"


def test_runs_are_grouped_by_all_settings_but_the_seed(logs):
    runs = gather([logs, logs / "sweep"])
    assert len(runs) == 7
    keys, equal = differing(runs)
    assert sorted(keys) == ["mask.ratio.value", "seed"]
    assert equal == {"data.limit": 40, "picture": "{run_dir}/masks.png"}
    groups = {one.label: one.interval("test/loss") for one in group(runs, keys)}
    n, mean, half = groups["ratio 0.3"]  # without the failed run
    assert (n, round(mean, 6), round(half, 4)) == (3, 3.5, 0.2484)


def test_the_curve_of_a_resumed_run_is_one(tmp_path):
    folder = make_run(tmp_path / "run", 0.15, 1)
    parts = {
        "metrics-1.csv": [(0, 5), (10, 4), (20, 3.5)],
        "metrics-2.csv": [(20, 3), (30, 2)],
        "metrics.csv": [(30, 1)],
    }
    for name, points in parts.items():
        (folder / name).write_text("step,train/loss\n" + "".join(f"{step},{loss}\n" for step, loss in points))
    [read] = gather([folder])
    assert read.curves == {"train/loss": [(0, 5), (10, 4), (20, 3), (30, 1)]}
    (folder / "metrics.csv").rename(folder / "metrics-3.csv")
    (folder / "metrics.csv").write_text(
        "step,test/loss,train/tokens\n30,1.5,640\n"
    )  # nothing was left but the test
    [read] = gather([folder])
    assert read.curves["train/loss"][-1] == (30, 1)


def test_a_single_seed_has_no_interval(logs):
    [alone] = group(gather([logs / "sweep" / "0"]), [])
    n, mean, half = alone.interval("test/loss")
    assert (n, mean) == (1, pytest.approx(3.25))
    assert math.isnan(half)


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("summary.json", '{"status": "comp', "summary.json is damaged"),
        ("summary.json", "[1]", "summary.json is damaged"),
        ("summary.json", '{"status": "completed", "metrics": [1]}', "summary.json is damaged"),
        ("config.yaml", "a: [", "config.yaml is damaged"),
        ("config.yaml", "", "config.yaml is damaged"),
        ("config.yaml", None, "config.yaml is missing"),
        ("metrics.csv", "step,train/loss\n0,3.5\n1,2.", None),
        ("metrics.csv", "step,train/loss\n0,3.5\nx", "metrics.csv has 1 damaged line"),
        ("metrics.csv", "\x00\xff", "metrics.csv"),
        ("metrics.csv", None, "metrics.csv is missing"),
    ],
)
@pytest.mark.parametrize("format", ["html", "markdown"])
def test_a_damaged_file_is_named_and_stops_nothing(logs, tmp_path, name, text, note, format):
    path = logs / "sweep" / "0" / name
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    page, count = report([logs], format, tmp_path / "page")
    assert count == 7
    assert note is None or note in page.read_text()


def test_markdown(logs, tmp_path):
    text = report([logs], "markdown", tmp_path / "report.md")[0].read_text()
    assert "| 0.3 | 3 | 3.5 | 0.24841 |" in text
    assert "- logs/failed: failed: &lt;/script>&lt;b>loss is not finite" in text


def test_a_page_of_200_runs_is_small(tmp_path):
    source = make_run(tmp_path / "logs" / "0", 0.3, 1)
    for number in range(1, 200):
        shutil.copytree(source, tmp_path / "logs" / str(number))
    page, count = report([tmp_path / "logs"], output=tmp_path / "report.html")
    assert count == 200
    assert page.stat().st_size < 3e6


def test_mistakes_are_explained(logs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="There is no run in"):
        report([tmp_path / "empty"])
    with pytest.raises(UserError, match="is no folder"):
        report([tmp_path / "absent"])
    with pytest.raises(UserError, match=r"no run has it. Did you mean 'test/loss'"):
        report([logs], metric="test/los", output=tmp_path / "r.html")


def test_the_command_takes_folders_and_a_format(logs, tmp_path):
    folders = [str(logs / name) for name in ("sweep", "failed")]
    result = call(ROOT / "src" / "report.py", *folders, "--format", "markdown", cwd=tmp_path)
    assert result.stdout == "7 runs in report.md\n", result.stderr


# put before the page's own script, so that it sees its errors; what it finds is read from the DOM
_WATCH = """<script>
const errors = []; addEventListener("error", e => errors.push(e.message)); console.error = m => errors.push(String(m));
addEventListener("load", () => {
  document.querySelectorAll("thead button").forEach(b => b.click());
  document.querySelectorAll("svg").forEach(s => { const r = s.getBoundingClientRect();
    s.dispatchEvent(new PointerEvent("pointermove", { clientX: r.left + r.width / 2, clientY: r.top + r.height / 2 })); });
  document.body.dataset.found = JSON.stringify({ errors, wide: document.documentElement.scrollWidth - innerWidth, width: innerWidth,
    paths: [...document.querySelectorAll("svg")].map(s => s.querySelectorAll("path").length),
    sorted: document.querySelectorAll("th[aria-sort]").length });
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (apt-get install chromium)")
def test_the_page_works_in_a_browser(logs, tmp_path):
    page = report([logs], output=tmp_path / "report.html")[0].read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    (tmp_path / "watched.html").write_text(page.replace("<main>", _WATCH + "<main>"))
    # a window cannot be narrower than 500 pixels without a frame around the page
    frames = "".join(
        f'<iframe src="watched.html" style="width:{width}px;height:900px"></iframe>' for width in (1280, 400)
    )
    reading = """<script>addEventListener("load", () => { document.body.dataset.all = "[" +
      [...document.querySelectorAll("iframe")].map(f => f.contentDocument.body.dataset.found).join() + "]"; })</script>"""
    (tmp_path / "frames.html").write_text(frames + reading)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command = [CHROMIUM, *options, "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "frames.html").as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = re.search(r'data-all="([^"]*)"', result.stdout)
    assert said, result.stderr
    wide, narrow = json.loads(said[1].replace("&quot;", '"'))
    assert (wide["width"], narrow["width"]) == (1280, 400)
    for found in (wide, narrow):
        assert found["errors"] == []
        assert found["wide"] <= 0
        assert found["paths"] == [1, 7]  # the means of two ratios, a curve for each run
        assert found["sorted"] == 3  # tables
