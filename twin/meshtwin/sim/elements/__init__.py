"""Elements of a node: bearer, scanner, message cache, relay, transmit queue, access.

Each holds one rule and the least state it needs. They know integer time and packets, neither simpy nor each
other.
A node is their composition (`meshtwin.sim.elements.node`).
"""
