"""How radio signals weaken, whether a packet survives, and links fitted to what was heard.

Pure functions over floats and arrays. No clock, no dice (draws come in as arguments), no mesh protocol rules,
no packet simulation. Powers in dBm, losses in dB, distances in metres.
"""
