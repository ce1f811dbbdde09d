"""Runs the README's own commands, so that they keep working."""
