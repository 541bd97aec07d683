"""The life of a run: it is assembled, trained, resumed and evaluated. `SavedRun` reopens a run directory."""
