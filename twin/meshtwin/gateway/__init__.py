"""The reference gateway: a sans-I/O core that answers commands and drives the mesh, and its adapters.

Core modules take the time as an argument and return effects and the next wake-up; they know no socket, no
file and no clock. ``store`` and ``mesh_client`` are the rim. The core keeps the safety net: what it promised
is on disk before it is said, and what was not confirmed is taken back.
"""
