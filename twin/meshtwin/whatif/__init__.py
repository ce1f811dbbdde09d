"""What-if: fork a snapshot, change it, compare with the original on the same states.

Pure functions over snapshots and figures; the simulating is asked of a `meshtwin.ports.Judge`. No search
for good configurations (that is `meshtwin.recipes`), no processes (that is `meshtwin.app.workers`).
"""
