"""Elements of a node: bearer, scanner, message cache, relay, transmit queue, advertiser, access, transport.

Each holds one rule and the least state it needs. They know integer time and packets, neither simpy nor each
other; chance comes in as a number or a key.
A node is their composition (`meshtwin.sim.elements.node`).
"""
