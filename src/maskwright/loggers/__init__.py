"""Where the metrics, pictures and tables of a run go besides its directory."""

from maskwright.loggers.description import TOKENS, Description, flat, group, tags
from maskwright.loggers.send import begin, finish, picture, table
from maskwright.loggers.wandb_logger import WandbLogger

__all__ = ["TOKENS", "Description", "WandbLogger", "begin", "finish", "flat", "group", "picture", "table", "tags"]
