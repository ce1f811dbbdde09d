"""Workloads as Kubernetes manifests. Pure: a `Workload` and the operator's settings in, plain dicts out.

Quantities are written in canonical form, or the API server's rewriting would look like a change.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.kube.network_policies import broker_spec, twins_spec
from meshtwin_operator.kube.ownership import MANAGED_BY
from meshtwin_operator.reconcile.naming import broker_workload
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = ["BROKER_PORT", "REST_PORT", "RenderSettings", "render_workload", "rest_url"]

REST_PORT: Final = 8080
BROKER_PORT: Final = 8883
USER_ID: Final = 65532  # the image's user; numeric, so that runAsNonRoot can be checked

TREE_MOUNT: Final = "/etc/meshtwin/tree"
ACCOUNT_MOUNT: Final = "/etc/meshtwin/account"
CONFIG_MOUNT: Final = "/etc/meshtwin/config"
INVENTORY_MOUNT: Final = "/etc/meshtwin/inventory"
MODEL_MOUNT: Final = "/etc/meshtwin/model"
MODEL_KEYS: Final = ("token", "ca.crt")
DATA_MOUNT: Final = "/var/lib/meshtwin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """What the operator's own deployment says of its children."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    allowed_image_prefixes: tuple[str, ...] = ()
    operator_namespace: str = "meshtwin-system"


def rest_url(namespace: str, name: str) -> str:
    """Where a twin's REST interface answers inside the cluster."""
    return f"http://{name}.{namespace}.svc:{REST_PORT}"


def render_workload(
    workload: Workload,
    settings: RenderSettings,
    broker: tuple[str, int, bool] | None,
    secret_hash: str = "",
) -> tuple[dict[str, Any], ...]:
    """All manifests of one child, in the order in which they should be applied.

    ``broker`` is (host, port, TLS) as the child reaches it; None for the broker itself.
    ``secret_hash`` is of the mounted secrets that the child reads only at its start: another one restarts it.
    """
    common = _Common(workload, settings, secret_hash)
    if workload.role is WorkloadRole.BROKER:
        return (
            common.claim(),
            common.service(BROKER_PORT, "mqtts"),
            common.broker_policy(),
            common.stateful_set(_broker_pod(common)),
        )
    config = _twin_config(workload, broker)
    # One policy for all twins of a tree, kept with its parents: a policy per segment would be a write per segment.
    policies = () if workload.role is WorkloadRole.SEGMENT_TWIN else (common.twins_policy(broker),)
    return (
        common.config_map({"config.json": json.dumps(config, sort_keys=True, indent=1)}),
        common.claim(),
        common.service(REST_PORT, "http"),
        *policies,
        common.stateful_set(_twin_pod(common, json.dumps(config, sort_keys=True))),
    )


def image_of(workload: Workload, settings: RenderSettings) -> str:
    """The image asked for, or else the operator's own.

    Raises `InvalidInput` (``ImageNotAllowed``) for one that the operator's allow-list does not have.
    """
    wanted = workload.pod.image
    if not wanted or wanted == settings.image:
        return settings.image
    if any(_is_below(wanted, prefix) for prefix in settings.allowed_image_prefixes):
        return wanted
    known = ", ".join(settings.allowed_image_prefixes) or "its own alone"
    message = f"image {wanted} is not allowed by the operator (MESHTWIN_ALLOWED_IMAGES: {known})"
    raise InvalidInput(message, reason="ImageNotAllowed", place="spec.pod.image")


def _is_below(image: str, prefix: str) -> bool:
    """Whether an image is what a prefix of the allow-list names, and not what merely begins with the same letters.

    A prefix ends with ``/`` or ``:``, or at a boundary of its own: a repository allows its tags, its digests and
    what lies below it; an image with tag or digest allows itself alone, since a digest beside a tag decides.
    """
    if not prefix or not image.startswith(prefix):
        return False
    rest = image.removeprefix(prefix)
    if not rest or prefix.endswith(("/", ":")):
        return True
    if ":" in prefix.rpartition("/")[2]:  # a tag has nothing below it; a registry's port has
        return "/" not in prefix and rest.startswith("/")
    # A colon may also begin a port: then a path follows, and the registry is another one.
    return rest.startswith(("/", "@")) or (rest.startswith(":") and "/" not in rest)


def owner_reference(key: ObjectKey, uid: str) -> dict[str, Any]:
    """A controller reference: children go when their owner goes."""
    return {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": key.kind,
        "name": key.name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def quantity_mebibytes(mebibytes: int) -> str:
    """Canonical binary quantity: 1024 Mi is 1 Gi."""
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"


def quantity_millicores(millicores: int) -> str:
    """Canonical decimal quantity: 1000 m is 1."""
    return str(millicores // 1000) if millicores % 1000 == 0 else f"{millicores}m"


def _twin_config(workload: Workload, broker: tuple[str, int, bool] | None) -> dict[str, Any]:
    config: dict[str, Any] = dict(workload.config)
    if broker is not None:
        host, port, tls = broker
        config["broker"] = {
            "host": host,
            "port": port,
            "username": workload.identity,
            "passwordFile": f"{ACCOUNT_MOUNT}/password",
            **({"caFile": f"{TREE_MOUNT}/ca.crt"} if tls else {}),
        }
    config["dataFolder"] = DATA_MOUNT
    config["listen"] = {"host": "0.0.0.0", "port": REST_PORT}  # noqa: S104  # a pod serves its own address
    config["restKeyFile"] = f"{TREE_MOUNT}/rest-key"
    config["ownKeyFile"] = f"{ACCOUNT_MOUNT}/own-key"
    if workload.model_secret is not None:
        files = {"tokenFile": f"{MODEL_MOUNT}/token", "caFile": f"{MODEL_MOUNT}/ca.crt"}
        config["model"] = {**config["model"], "http": {**config["model"]["http"], **files}}
    if workload.inventory is not None:
        _, key, placement = workload.inventory
        config["inventoryPath"] = f"{INVENTORY_MOUNT}/{key}"
        if placement:
            config["placementPath"] = f"{INVENTORY_MOUNT}/{placement}"
    return config


class _Common:
    """Metadata and shapes that all children share."""

    def __init__(self, workload: Workload, settings: RenderSettings, secret_hash: str) -> None:
        self.restart_on = f"{workload.restart_on}.{secret_hash}"
        self.workload = workload
        self.settings = settings
        self.selector = {
            "app.kubernetes.io/name": "meshtwin-" + workload.role.value.replace("_", "-"),
            "meshtwin.dev/workload": workload.name,
        }
        self.labels = {**self.selector, **MANAGED_BY, "meshtwin.dev/twin": workload.root_twin}

    def metadata(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "namespace": self.workload.namespace,
            "labels": self.labels,
            "ownerReferences": [owner_reference(self.workload.owner, self.workload.owner_uid)],
        }

    def config_map(self, data: Mapping[str, str]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(self.workload.name),
            "data": dict(data),
        }

    def claim(self) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": quantity_mebibytes(self.workload.storage_mebibytes or 64)}},
        }
        if self.workload.storage_class_name is not None:
            spec["storageClassName"] = self.workload.storage_class_name
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self.metadata(f"{self.workload.name}-data"),
            "spec": spec,
        }

    def service(self, port: int, port_name: str) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "selector": self.selector,
            "ports": [{"name": port_name, "port": port, "targetPort": port, "protocol": "TCP"}],
            "type": "ClusterIP",
        }
        broker = self.workload.broker
        if broker is not None:
            spec["type"] = broker.service_type
            if broker.node_port is not None:
                spec["ports"][0]["nodePort"] = broker.node_port
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(self.workload.name),
            "spec": spec,
        }

    def broker_policy(self) -> dict[str, Any]:
        """See `broker_spec`."""
        return self._policy(broker_spec(self.selector, BROKER_PORT))

    def twins_policy(self, broker: tuple[str, int, bool] | None) -> dict[str, Any]:
        """See `twins_spec`; of a broker of somebody else's the place is told."""
        workload = self.workload
        own = f"{broker_workload(workload.root_twin)}.{workload.namespace}.svc"
        return self._policy(
            twins_spec(
                workload.root_twin,
                port=REST_PORT,
                operator_namespace=self.settings.operator_namespace,
                foreign_broker=None if broker is None or broker[0] == own else broker[:2],
            )
        )

    def _policy(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self.metadata(self.workload.name),
            "spec": spec,
        }

    def stateful_set(self, pod_spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": self.metadata(self.workload.name),
            "spec": {
                "replicas": 1,
                "serviceName": self.workload.name,
                # Parallel: an update replaces a pod that never became ready, so a bad image can be mended.
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": self.selector},
                "template": {
                    "metadata": {
                        "labels": self.labels,
                        "annotations": {"meshtwin.dev/restart-on": self.restart_on},
                    },
                    "spec": pod_spec,
                },
            },
        }

    def pod(self, container: dict[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
        pod = self.workload.pod
        requests = {
            "cpu": quantity_millicores(pod.cpu_request_millicores),
            "memory": quantity_mebibytes(pod.memory_request_mebibytes),
        }
        limits = {"memory": quantity_mebibytes(pod.memory_limit_mebibytes)}
        if pod.cpu_limit_millicores is not None:
            limits["cpu"] = quantity_millicores(pod.cpu_limit_millicores)
        container |= {
            "image": image_of(self.workload, self.settings),
            "imagePullPolicy": self.settings.image_pull_policy,
            "resources": {"requests": requests, "limits": limits},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        return {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 15,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "imagePullSecrets": [{"name": ref.name} for ref in pod.image_pull_secrets],
            "nodeSelector": dict(pod.node_selector),
            "containers": [container],
            "volumes": [
                *volumes,
                {"name": "data", "persistentVolumeClaim": {"claimName": f"{self.workload.name}-data"}},
                {"name": "tmp", "emptyDir": {}},
            ],
        }


def _twin_pod(common: _Common, config_text: str) -> dict[str, Any]:
    workload = common.workload
    mounts = [
        {"name": "config", "mountPath": CONFIG_MOUNT, "readOnly": True},
        {"name": "tree", "mountPath": TREE_MOUNT, "readOnly": True},
        {"name": "account", "mountPath": ACCOUNT_MOUNT, "readOnly": True},
        {"name": "data", "mountPath": DATA_MOUNT},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # an emptyDir of this pod
    ]
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": workload.name}},
        {"name": "tree", "secret": {"secretName": f"{workload.root_twin}-tree"}},
        {"name": "account", "secret": {"secretName": f"{workload.name}-account"}},
    ]
    if workload.inventory is not None:
        mounts.append({"name": "inventory", "mountPath": INVENTORY_MOUNT, "readOnly": True})
        volumes.append({"name": "inventory", "configMap": {"name": workload.inventory[0]}})
    if workload.model_secret is not None:
        mounts.append({"name": "model", "mountPath": MODEL_MOUNT, "readOnly": True})
        items = [{"key": key, "path": key} for key in MODEL_KEYS]
        # optional: of the two keys the authority's may be missing, and the kubelet would wait for it for ever
        volumes.append(
            {"name": "model", "secret": {"secretName": workload.model_secret, "items": items, "optional": True}}
        )
    probe = {"httpGet": {"path": "/healthz", "port": REST_PORT}, "periodSeconds": 10, "failureThreshold": 6}
    container = {
        "name": "twin",
        "command": ["python", "-m", f"meshtwin.app.{workload.role.value}"],
        "args": [f"{CONFIG_MOUNT}/config.json"],
        "ports": [{"name": "http", "containerPort": REST_PORT, "protocol": "TCP"}],
        "volumeMounts": mounts,
        "startupProbe": probe | {"periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": probe,
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": REST_PORT}, "periodSeconds": 2},
        # The configuration is mounted: a new one restarts the pod by this text.
        "env": [{"name": "MESHTWIN_CONFIG_HASH", "value": _short_hash(config_text)}],
    }
    return common.pod(container, volumes)


def _broker_pod(common: _Common) -> dict[str, Any]:
    root = common.workload.root_twin
    container = {
        "name": "mosquitto",
        # The dynamic security file is the broker's own once it runs: the first one is copied, never overwritten.
        "command": ["sh", "-c"],
        "args": [
            "cp -n /etc/meshtwin/broker/dynamic-security.json /var/lib/meshtwin/dynamic-security.json; "
            "chmod 600 /var/lib/meshtwin/dynamic-security.json; "
            "exec mosquitto -c /etc/meshtwin/broker/mosquitto.conf"
        ],
        "ports": [{"name": "mqtts", "containerPort": BROKER_PORT, "protocol": "TCP"}],
        "volumeMounts": [
            {"name": "broker", "mountPath": "/etc/meshtwin/broker", "readOnly": True},
            {"name": "data", "mountPath": DATA_MOUNT},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # an emptyDir of this pod
        ],
        "livenessProbe": {"tcpSocket": {"port": BROKER_PORT}, "periodSeconds": 20, "failureThreshold": 6},
        "readinessProbe": {"tcpSocket": {"port": BROKER_PORT}, "periodSeconds": 2},
    }
    return common.pod(container, [{"name": "broker", "secret": {"secretName": f"{root}-broker"}}])


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
