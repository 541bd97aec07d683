"""What every other package may use: hashing, errors, paths, the terminal, atomic writes, processes, ranks."""
