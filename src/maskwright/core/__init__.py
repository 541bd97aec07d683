"""Utilities that every other package may use: hashing, errors, paths, terminal, atomic writes, processes, ranks."""
