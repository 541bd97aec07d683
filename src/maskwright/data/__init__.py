"""LightningDataModules, and the corpora behind them.

Nothing is imported here: the processes that prepare a corpus need neither torch nor Lightning.
"""
