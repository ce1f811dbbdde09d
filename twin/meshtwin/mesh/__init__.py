"""The words of Bluetooth Mesh as frozen values: addresses, nodes, configuration, observations, snapshots.

Pure values and pure functions over them. No clock, no I/O, no simulation, no graph algorithms.
"""
