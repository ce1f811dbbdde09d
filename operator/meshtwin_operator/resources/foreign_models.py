"""`spec.model` of a twin: somebody else's model in the simulator's place."""

from typing import ClassVar, Literal

from pydantic import Field

from meshtwin_operator.resources.base import CelRule, NameRef, ResourceModel

__all__ = ["HttpModelSpec", "ModelSpec"]


class HttpModelSpec(ResourceModel):
    """A program that answers ``GET /model`` and ``POST /judge`` below a URL."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.url.startsWith('https://') || !has(self.secretRef)",
            message="a token is sent over https only",
            field_path=".url",
        ),
    )

    url: str = Field(
        # No user, query or fragment: a status shows it. IPv6 addresses by their name.
        pattern=r"^https?://[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[1-9][0-9]{0,4})?(/[-a-zA-Z0-9._~/]*)?$",
        max_length=260,
        description="https, or http without a token; no user, query or fragment.",
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
