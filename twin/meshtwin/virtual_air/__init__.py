"""Bluetooth Mesh without a radio: one bluetooth-meshd 5.66 per node, and a medium that moves their PDUs.

The stack is BlueZ's own, from network layer to Configuration Server, with a shim for bearer, crypto and one relay
defect (`shim.c`). The medium's physics is that of the emulated mesh (`meshtwin.emulation.radio`), never a model
of the twin. Only tests and demonstrations run this; gateways see a bus with a daemon, as on any Linux box.
"""
