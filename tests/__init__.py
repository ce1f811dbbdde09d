"""Tests and tools of the project: nothing of it is installed."""
