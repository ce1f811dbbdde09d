"""`spec.model` of a twin: somebody else's model in the simulator's place.

The rules on addresses refuse early what the twin refuses anyway when it connects (`meshtwin.foreign.destinations`):
names can be looked at only there. Loopback is refused on a cluster by an admission policy, since in local mode it
is the usual place of a model.
"""

from typing import ClassVar, Final, Literal

from pydantic import Field

from meshtwin_operator.resources.base import CelRule, NameRef, ResourceModel

__all__ = ["HttpModelSpec", "ModelSpec"]


# How a host ends in a URL; ports and paths follow.
END: Final = "(:|/|$)"
DECIMAL: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# Resolvers take 2130706433, 0x7f.1 and 127.1 for 127.0.0.1 (POSIX inet_addr), where rules on addresses would not.
NUMBER_LAST: Final = f"^https?://([^:/]*[.])?(0[xX][0-9a-fA-F]*|[0-9]+){END}"
USUAL_FORM: Final = f"^https?://({DECIMAL}[.]){{3}}{DECIMAL}{END}"
# 0.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4
NEVER: Final = f"^https?://(0[.][0-9]+|169[.]254|(22[4-9]|23[0-9]|24[0-9]|25[0-5])[.][0-9]+)[.][0-9]+[.][0-9]+{END}"
API_SERVER: Final = f"^https?://(?i:kubernetes([.]default([.]svc([.][^:/]*)?)?)?){END}"


class HttpModelSpec(ResourceModel):
    """A program that answers ``GET /model`` and ``POST /judge`` below a URL."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.url.startsWith('https://') || !has(self.secretRef)",
            message="a token is sent over https only",
            field_path=".url",
        ),
        CelRule(
            rule=f"!self.url.matches('{NUMBER_LAST}') || self.url.matches('{USUAL_FORM}')",
            message="a host of numbers is an IPv4 address in its usual form",
            field_path=".url",
        ),
        CelRule(
            rule=f"!self.url.matches('{NEVER}')",
            message="no model is asked at an unspecified, link-local, multicast or reserved address",
            field_path=".url",
        ),
        CelRule(
            rule=f"!self.url.matches('{API_SERVER}')",
            message="no model is asked at the API server's name",
            field_path=".url",
        ),
    )

    url: str = Field(
        # No user, query or fragment: a status shows it. IPv6 addresses by their name.
        pattern=r"^https?://[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[1-9][0-9]{0,4})?(/[-a-zA-Z0-9._~/]*)?$",
        max_length=260,
        description="https, or http without a token; no user, query or fragment. Link-local, multicast and unspecified "
        "addresses, the API server and, on a cluster, loopback are refused, also when a name resolves to them.",
    )
    secret_ref: NameRef | None = Field(
        default=None,
        description="Secret with token, and ca.crt for a private authority, labelled "
        'meshtwin.dev/model-credentials: "true".',
    )
    time_limit_seconds: int = Field(default=60, ge=1, le=3600, description="For one question, to the last byte.")


class ModelSpec(ResourceModel):
    """A model of somebody else's that judges configurations; the fast model still prunes them."""

    cel_rules: ClassVar = (
        CelRule(
            rule="has(self.http) != has(self.plugin)",
            message="exactly one of http and plugin",
        ),
    )

    http: HttpModelSpec | None = None
    plugin: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=63,
        description="Name of an entry point meshtwin.models of a package in the twin's image.",
    )
    on_failure: Literal["Fail", "UseOwn"] = Field(
        default="Fail",
        description="Fail: the run fails and says why. UseOwn: our simulator answers instead, and the answer says so.",
    )
