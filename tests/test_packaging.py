"""What is installed: the wheel holds the packages and the prompts, and nothing under a name that is not ours."""

from __future__ import annotations

import pkgutil
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import fastinstruct
from places import REPOSITORY


def wheel_names(root: Path, folder: Path) -> list[str]:
    (artifact,) = WheelBuilder(str(root)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(artifact) as wheel:
        return wheel.namelist()


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return wheel_names(REPOSITORY, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_two_packages_and_its_metadata_and_nothing_else(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert tops == {"fastinstruct", "fastinstruct_kernels", f"fastinstruct-{fastinstruct.__version__}.dist-info"}


def test_the_wheel_holds_prompts_seeds_the_typing_marker_and_the_configuration_template(names: list[str]) -> None:
    prompts = {
        f"fastinstruct/prompts/{path.relative_to(REPOSITORY / 'prompts')}"
        for path in (REPOSITORY / "prompts").rglob("*.*")
    }
    assert len(prompts) == 21
    assert prompts | {"fastinstruct/py.typed", "fastinstruct/cli/config_template.yaml"} <= set(names)


def test_a_wheel_built_from_the_sdist_is_the_same(names: list[str], tmp_path: Path) -> None:
    (sdist,) = SdistBuilder(str(REPOSITORY)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (root,) = (tmp_path / "unpacked").iterdir()
    assert sorted(wheel_names(root, tmp_path / "again")) == sorted(names)


def test_the_version_is_said_once_and_the_same_everywhere() -> None:
    assert f'version = "{fastinstruct.__version__}"' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("door", ["fastinstruct", "fastinstruct.lm", "fastinstruct.pipeline"])
def test_what_a_door_loads_when_it_is_used_is_never_hidden_by_a_module_of_that_name(door: str) -> None:
    """Importing a module puts it into its package under its own name, over whatever else is to be found there."""
    package = import_module(door)
    assert not set(package.__all__) & {module.name for module in pkgutil.iter_modules(package.__path__)}
