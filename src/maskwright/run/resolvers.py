"""What `${…:}` in a config can ask for, beside what OmegaConf and Hydra know."""

from omegaconf import OmegaConf

from maskwright.corpora.glue import glue

OmegaConf.register_new_resolver("glue", glue, replace=True)
