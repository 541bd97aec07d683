"""The config as typed, frozen objects, and the rules that tie two settings together."""
