"""Whether this machine may write to a server of Weights & Biases."""

import inspect
import os


def has_key() -> bool:
    """Whether a key of W&B is set: in the environment, by `wandb login`, or in a netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb  # takes a second to import

    if "prompt" not in inspect.signature(wandb.login).parameters:  # of older versions
        return bool(wandb.api.api_key)
    try:
        found = wandb.login(prompt=False, verify=False)
    except wandb.Error:  # a malformed one, of which `wandb.init` tells
        return True
    if not found:
        wandb.teardown()  # or a later run in this process would be asked for the key
    return found
