"""LightningDataModules, and how they prepare corpora on disk and read them as batches.

Nothing is imported here, because the processes that prepare a corpus need neither torch nor Lightning.
"""
