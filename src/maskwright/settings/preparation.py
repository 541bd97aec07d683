"""`conf/preparation`: what prepares a corpus."""

from typing import Literal

from pydantic import PositiveInt

from maskwright.settings.base import Settings


class PreparationSettings(Settings):
    """See the comments in `conf/preparation`, and `core.engines.Preparation`."""

    engine: Literal["processes", "dask"] = "processes"
    workers: PositiveInt | None = None
    address: str | None = None
