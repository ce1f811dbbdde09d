"""A kubeconfig that cannot be read is refused without its lines: there are tokens in it."""

import traceback
from pathlib import Path

import pytest

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.kube_access import KubeAccess

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    "text", [f"users: [{{user: {{token: '{SECRET}", f"token: @{SECRET}", f"a: 1\ntoken: {SECRET}: b"]
)
def test_a_kubeconfig_that_is_no_yaml_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(InvalidInput, match="no usable kubeconfig") as caught:
        KubeAccess(kubeconfig=str(path), context=None, namespace=None)

    assert SECRET not in "".join(traceback.format_exception(caught.value))
