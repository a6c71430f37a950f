"""Carries what a Hugo site publishes to the people who want to read it."""

__version__ = "0.1.0"
