"""The config as typed, frozen objects, and the rules between settings of different groups."""
