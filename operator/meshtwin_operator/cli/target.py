"""Where the objects are: an embedded store (local mode) or an API server; the same five verbs on both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meshtwin.errors import InvalidInput
from meshtwin_operator.local.state import StateFolder, default_state, find_state
from meshtwin_operator.local.users import local_user
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = ["LocalAccess", "ObjectAccess", "TargetOptions", "open_target"]

Manifest = dict[str, Any]


class ObjectAccess(Protocol):
    """What the verbs need. Errors are of `meshtwin.errors`; ``namespace`` is the one to use by default."""

    namespace: str

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object of the namespace; None if absent."""
        ...

    def list_objects(self, kind: str) -> Sequence[Manifest]:
        """All objects of a kind in the namespace, by name."""
        ...

    def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """Create an object as the user that `whoami` names."""
        ...

    def patch_spec(self, kind: str, name: str, changes: Mapping[str, Any]) -> Manifest:
        """Merge changes into a spec; None removes a field."""
        ...

    def whoami(self) -> str:
        """The user as admission sees it."""
        ...

    def events(self, kind: str, name: str) -> Sequence[tuple[str, str, str, str]]:
        """Events of an object: last time, type, reason, message; oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """What the command line said of the target; None: not said."""

    local: Path | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


def open_target(options: TargetOptions) -> ObjectAccess:
    """Local mode if a state folder is named or found here, else the cluster of the kubeconfig."""
    if options.local is not None and (options.kubeconfig or options.context):
        raise InvalidInput("--local and --kubeconfig/--context exclude each other: give one")
    if options.local is not None:
        state = find_state(options.local) or options.local
        return LocalAccess(StateFolder(state), options.namespace)
    if not options.kubeconfig and not options.context:
        found = default_state(Path.cwd())
        if found is not None:
            return LocalAccess(StateFolder(found), options.namespace)
    from meshtwin_operator.cli.kube_access import KubeAccess

    return KubeAccess(kubeconfig=options.kubeconfig, context=options.context, namespace=options.namespace)


class LocalAccess:
    """Objects of a state folder."""

    def __init__(self, state: StateFolder, namespace: str | None) -> None:
        from meshtwin_operator.local.store import Store

        if not state.store.is_file():
            raise InvalidInput(f"{state.root} holds no store: start `meshtwin up FOLDER` first")
        self.state = state
        self._store = Store(state.store)
        self.namespace = namespace or self._only_namespace()

    def get(self, kind: str, name: str) -> Manifest | None:
        """See `ObjectAccess`."""
        return self._store.get(ObjectKey(kind, self.namespace, name))

    def list_objects(self, kind: str) -> Sequence[Manifest]:
        """See `ObjectAccess`."""
        return self._store.list_objects(kind, self.namespace)

    def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """See `ObjectAccess`."""
        metadata = {"namespace": self.namespace, **manifest["metadata"]}
        return self._store.create({**manifest, "metadata": metadata}, user=self.whoami())

    def patch_spec(self, kind: str, name: str, changes: Mapping[str, Any]) -> Manifest:
        """See `ObjectAccess`."""
        return self._store.patch_spec(ObjectKey(kind, self.namespace, name), changes, user=self.whoami())

    def whoami(self) -> str:
        """See `ObjectAccess`."""
        return local_user()

    def events(self, kind: str, name: str) -> Sequence[tuple[str, str, str, str]]:
        """See `ObjectAccess`."""
        found = self._store.events(ObjectKey(kind, self.namespace, name))
        return [(event.last_at, event.type, event.reason, event.message) for event in found]

    def _only_namespace(self) -> str:
        """The namespace of the twins if it is one, else ``default``, as kubectl would say."""
        names = {m["metadata"]["namespace"] for m in self._store.list_objects("DigitalTwin")}
        return names.pop() if len(names) == 1 else "default"
