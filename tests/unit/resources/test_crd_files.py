"""The checked-in CRDs are what the models say."""

from pathlib import Path

import pytest
import yaml

from meshtwin.contract.generated import differing_files
from meshtwin_operator.resources.base import API_GROUP, Resource
from meshtwin_operator.resources.crd import crd, crd_files
from meshtwin_operator.resources.generate import main
from meshtwin_operator.resources.kinds import KINDS

CRDS = Path(__file__).parents[3] / "crds"


def test_checked_in_crds_are_what_the_models_say() -> None:
    assert differing_files(CRDS, crd_files()) == []


def test_check_fails_for_a_changed_a_missing_and_a_foreign_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--folder", str(tmp_path)])
    changed, missing = tmp_path / "meshtwin.dev_recipes.yaml", tmp_path / "meshtwin.dev_approvals.yaml"
    changed.write_text(changed.read_text() + "#")
    missing.unlink()
    (tmp_path / "other.yaml").write_text("{}")
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in ("recipes.yaml", "approvals.yaml", "other.yaml"))


def test_writing_again_leaves_nothing_to_write(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("{}")
    assert main(["--folder", str(tmp_path)]) == 0
    assert main(["--check", "--folder", str(tmp_path)]) == 0


def test_kustomization_lists_every_crd() -> None:
    listed = yaml.safe_load(crd_files()["kustomization.yaml"])["resources"]
    assert listed == sorted(f"{API_GROUP}_{kind.plural}.yaml" for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind_name)
def test_crd_has_category_columns_and_the_status_subresource(kind: type[Resource]) -> None:
    spec = crd(kind)["spec"]
    (version,) = spec["versions"]
    assert spec["names"]["categories"] == ["meshtwin"]
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"


def test_short_names_are_unique_and_none_is_a_name_of_kubernetes() -> None:
    names = [name for kind in KINDS for name in kind.short_names]
    assert len(names) == len(set(names))
    assert not set(names) & {"po", "svc", "cm", "ds", "deploy", "rs", "sts", "pv", "pvc", "ns", "no", "ev"}
