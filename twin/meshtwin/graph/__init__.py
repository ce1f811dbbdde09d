"""The graph facet: what the links of a snapshot allow, before anything is simulated.

Pure functions over snapshots and networkx graphs. No clock, no dice, no simulation. Nodes of a graph are
unicast addresses; an edge is a directed radio link with its delivery. Whether a flood is *on time* is not
a question for a graph: that belongs to the simulators.
"""
