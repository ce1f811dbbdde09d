"""A real Kubernetes for tests, also where no Docker engine runs.

Run as ``python -m tests.cluster``; standard library only, so that it works before the project is installed.
Everything it starts is recorded in a state folder, and `down` takes exactly that away again.
It knows nothing of MeshTwin: no manifest, no resource of the project belongs here.
"""

from tests.cluster.control_plane import control_plane
from tests.cluster.errors import ClusterError

__all__ = ["ClusterError", "control_plane"]
