"""Which stack profile a segment's models go by: that of the spec, unless the gateway says another that is known."""

from meshtwin.errors import InvalidInput
from meshtwin.mesh.stacks import STACKS
from meshtwin_operator.reconcile.conditions import Said, condition_of, said
from meshtwin_operator.reconcile.world import GatewayView
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["check_stack", "stack_agreed"]


def check_stack(segment: MeshSegment) -> None:
    """Raises `InvalidInput` for a profile that is not known; stored before the schema named them, or by another one."""
    name = segment.spec.stack_profile
    if name not in STACKS:
        raise InvalidInput(
            f"stack profile {name!r} is not one of {', '.join(STACKS)}",
            reason="UnknownProfile",
            place="spec.stackProfile",
        )


def stack_agreed(segment: MeshSegment, view: GatewayView) -> Said:
    """Condition ``StackAgreed``: the gateway says of its nodes what the spec says."""
    declared, told = segment.spec.stack_profile, None if view.state is None else view.state.stack_profile
    if told is None:
        before = condition_of(segment.status, "StackAgreed")
        if view.state is None and before is not None:
            return Said("StackAgreed", before.status, before.reason, before.message)
        return said("StackAgreed", None, "NotTold", f"the models go by spec.stackProfile, {declared}")
    if told == declared:
        return said("StackAgreed", True, "AsDeclared")
    if told not in STACKS:
        text = f"the gateway says {told!r}, which is not one of {', '.join(STACKS)}; the models go by {declared}"
        return said("StackAgreed", False, "UnknownProfile", text)
    text = f"the gateway says {told}, and the models go by that; spec.stackProfile says {declared}"
    return said("StackAgreed", False, "GatewaySaysOtherwise", text)
