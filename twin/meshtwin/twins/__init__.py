"""State of a twin: folding observations, estimating links, building snapshots, overlaying segments.

Pure functions over frozen values. No clock, no I/O, no MQTT client, no simulation, no graph algorithms.
"""
