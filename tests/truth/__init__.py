"""Networks whose truth is known, run in simulated time: what twins are told of them, and what really happens there.

The truth is the physics of `meshtwin.emulation`, which shares no code with the models of the twin and has what they
lack: fading, interference in periods, relays that do not relay. Everything follows from seeds; nothing here looks
at a clock. `network.make_network` is the door; `places`, `hidden`, `reporting` and `pressing` are its parts.
"""
