"""Network digital twin of Bluetooth Mesh networks.

Floors, top to bottom; imports only point down (checked by import-linter):
app, then the adapters (northbound, connectors, repository, gateway, emulation, metrics), recipes, whatif,
the models (sim, graph, fast, twins), radio, ports and contract, mesh, units and errors.

Nothing here knows Kubernetes.
"""

__version__ = "0.1.0"
