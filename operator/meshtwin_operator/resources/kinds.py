"""The table of all kinds."""

from typing import Final

from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.pipelines import Pipeline, Recipe
from meshtwin_operator.resources.records import Approval, ConfigurationProposal, MeshConfiguration
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment
from meshtwin_operator.resources.whatifs import WhatIf

__all__ = ["KINDS", "KINDS_BY_NAME"]

KINDS: Final[tuple[type[Resource], ...]] = (
    DigitalTwin,
    MeshSegment,
    Recipe,
    Pipeline,
    ConfigurationProposal,
    Approval,
    MeshConfiguration,
    WhatIf,
)
KINDS_BY_NAME: Final = {kind.kind_name: kind for kind in KINDS}
