"""Maskwright: experiments on masked language modelling."""

__version__ = "0.1.0"
