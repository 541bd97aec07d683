"""The life of a run: assemble, train, resume, evaluate; `SavedRun` opens a run directory again."""
