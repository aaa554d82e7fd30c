"""The function that unpacks EMNIST's archive confines its members to the cache."""

import os
import zipfile
from pathlib import Path

import pytest
from torchvision.datasets.utils import extract_archive


def check_confined(extract, tmp_path: Path):
    """An archive's members land in the folder given, whatever their names."""
    outside, inside = tmp_path / "absolute", tmp_path / "folder" / "inside"
    inside.mkdir(parents=True)
    members = ["../evil", "../../worse", str(outside), "good/../../bad", "plain"]
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name in members:
            archive.writestr(name, name)
    extract(str(tmp_path / "archive.zip"), str(inside))
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert files - {tmp_path / "archive.zip"} == {path for path in inside.rglob("*") if path.is_file()}
    assert files > {tmp_path / "archive.zip"}


def test_members_of_an_archive_cannot_leave_the_folder(tmp_path):
    check_confined(extract_archive, tmp_path)


def test_an_extraction_that_trusts_names_is_caught(tmp_path):
    def trusting(source: str, folder: str) -> None:
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                path = Path(os.path.normpath(os.path.join(folder, name)))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))

    with pytest.raises(AssertionError):
        check_confined(trusting, tmp_path)
