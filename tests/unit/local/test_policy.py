"""Who may write what in local mode."""

import pytest

from meshtwin.errors import InvalidInput
from meshtwin_operator.local.policy import check_writer


def proposal(creator: str) -> dict[str, object]:
    annotations = {"meshtwin.dev/created-by": creator}
    return {"kind": "ConfigurationProposal", "metadata": {"name": "p", "annotations": annotations}, "spec": {}}


def test_a_proposal_names_its_own_creator_or_nobody() -> None:
    check_writer(proposal("ada"), "ada")
    check_writer({"kind": "ConfigurationProposal", "metadata": {"name": "p"}, "spec": {}}, "ada")
    with pytest.raises(InvalidInput, match="created-by"):
        check_writer(proposal("grace"), "ada")
