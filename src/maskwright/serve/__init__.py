"""A web server for a model: endpoints, batches of requests that wait together, and a page."""

from maskwright.serve.app import Limits, make_app
from maskwright.serve.engine import Engine, Skill

__all__ = ["Engine", "Limits", "Skill", "make_app"]
