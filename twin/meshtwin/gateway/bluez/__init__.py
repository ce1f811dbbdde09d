"""A gateway's way into Bluetooth Mesh by bluetooth-meshd, over its documented D-Bus interface.

The daemon may sit on a USB adapter or anywhere else: nothing here knows. Written against doc/mesh-api.txt of
BlueZ 5.66; what is not in that document is marked where it stands.
"""
