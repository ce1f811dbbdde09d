"""A mesh that behaves like a real one, as a process of its own: the hidden truth that twins are not told.

Its physics, timing and firmware are written here and shared with no model of the twin, since a stand-in
for the real network must never be its own witness. What it shares with the rest is what a real network
shares too: addresses, settings, and the access messages on the air.
"""
