"""Whether the Hugging Face hub can be reached."""

import logging
import socket
import urllib.request
from urllib.parse import urlsplit


def go_offline_without_network() -> None:
    """Makes the hub's libraries use what was downloaded before where the hub's name cannot be looked up.

    Else they would try again for half a minute. A proxy may know the name, so with one they go on trying.
    """
    import huggingface_hub.constants

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of each attempt, twice
    address = urlsplit(huggingface_hub.constants.ENDPOINT)
    if address.scheme in urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(address.hostname, None)
    except OSError:
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
        huggingface_hub.constants.HF_HUB_OFFLINE = True
