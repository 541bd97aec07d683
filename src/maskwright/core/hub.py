"""Access to the Hugging Face hub."""

import logging
import re
import socket
import urllib.request
from urllib.parse import urlsplit

# packages that tokenizers of the hub ask for
_NEEDED = "sentencepiece tiktoken sacremoses fugashi rjieba jieba sudachipy rhoknp pythainlp emoji protobuf".split()
_PACKAGES = {
    "MeCab": "fugashi",
    "google": "protobuf",
    "unidic_lite": "unidic-lite",
}  # under other names than imported


def go_offline_without_network() -> None:
    """Makes the hub's libraries use earlier downloads if the name of the hub cannot be resolved.

    Otherwise they would retry for half a minute. A proxy may resolve the name, so with a proxy nothing is changed.
    """
    import huggingface_hub.constants

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would log each attempt, twice
    address = urlsplit(huggingface_hub.constants.ENDPOINT)
    if address.scheme in urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(address.hostname, None)
    except OSError:
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
        huggingface_hub.constants.HF_HUB_OFFLINE = True


def first_line(error: BaseException) -> str:
    """Returns the first line of what an error says, or its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") + "." if lines else f"{type(error).__name__}."


def missing_package(error: BaseException | None) -> str | None:
    """Returns the package that a model or tokenizer of the hub needs and that is not installed; None if none is."""
    if not isinstance(error, ImportError):
        return None
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return _PACKAGES.get(package, package)
    said = str(error)
    named = re.search(r"need to install ([\w-]+)", said) or re.search(r"pip install ([\w-]+)", said)
    known = [package for package in _NEEDED if package.lower() in said.lower()]
    found = known[0] if known else named and named[1]
    return _PACKAGES.get(found, found) if found else None
