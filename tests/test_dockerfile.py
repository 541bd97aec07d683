"""The image of the server, as far as it can be checked without a container engine."""

import json
import re
import tomllib

from tests.conftest import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LINES = [
    line
    for line in re.sub(r"\\\n\s*", " ", TEXT).splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
COMMANDS = [tuple(line.split(maxsplit=1)) for line in LINES]


def arguments(name: str) -> list[str]:
    return [rest for command, rest in COMMANDS if command == name]


def test_commands_exist_and_begin_with_a_slim_python():
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}
    assert {command for command, _ in COMMANDS} <= known
    assert COMMANDS[0][0] == "FROM"
    first, *stages = arguments("FROM")
    assert re.fullmatch(r"python:3\.1[123]-slim AS base", first)
    assert stages == ["base AS torch", "base AS onnx"]


def test_the_server_does_not_run_as_root():
    names = [command for command, _ in COMMANDS]
    (user,) = {*arguments("USER")}
    assert user != "root"
    assert user in next(rest for rest in arguments("RUN") if rest.startswith("useradd"))
    stages = " ".join(names).split("FROM")[2:]  # after the one that both begin with
    assert [stage.split() for stage in stages] == [["RUN", "USER", "WORKDIR"]] * 2


def test_what_is_copied_exists_and_is_sent_to_the_build():
    sent = (ROOT / ".dockerignore").read_text()
    for copied in arguments("COPY"):
        for name in copied.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name}\n" in sent


def test_pip_keeps_no_cache_and_installs_the_server():
    installs = [rest for rest in arguments("RUN") if "pip install" in rest]
    assert all("--no-cache-dir" in rest for rest in installs)
    assert '".[serve]"' in installs[0]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = settings["optional-dependencies"]
    known = {*settings["dependencies"], *extras["serve"], *extras["onnx"]}
    known |= {re.match(r"[\w-]+", package)[0] for package in known}
    without_torch = re.split(r"pip install", installs[1])[-1]
    packages = [word.strip('"') for word in without_torch.split() if not word.startswith("--")]
    assert {*packages} <= known
    assert not {"torch", "lightning", "transformers", "datasets"} & {*packages}


def test_what_is_run_exists():
    program, script, *overrides = json.loads(arguments("ENTRYPOINT")[0])
    assert program == "python"
    assert (ROOT / script.removeprefix("/app/")).is_file()
    assert overrides == ["host=0.0.0.0"]
    check = json.loads(arguments("HEALTHCHECK")[0].split("CMD ")[1])
    compile(check[2], "HEALTHCHECK", "exec")
    assert "/health" in check[2]
    port = re.search(r"^port: (\d+)", (ROOT / "conf" / "serve.yaml").read_text(), re.MULTILINE)
    assert port
    assert arguments("EXPOSE") == [port[1]]
    assert f":{port[1]}/" in check[2]
