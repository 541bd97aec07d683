"""The life of a run: it is assembled, trained, resumed and evaluated. `SavedRun` reopens a run directory."""

from maskwright.run import resolvers  # noqa: F401  registers them
