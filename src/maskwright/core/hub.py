"""Access to the Hugging Face hub."""

import logging
import socket
import urllib.request
from urllib.parse import urlsplit


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
