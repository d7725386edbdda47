"""Where the tests keep their files, and in which order they run."""

import shutil
import tempfile

import pytest

from tests.memory import memory

ENOUGH = 8 * 1024**3  # what all tests together leave is a quarter of it


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Files in memory where there is room: the tests need not wait for a disk.

    No test cuts the power, so nothing need outlive the machine. A TMPDIR that was set is kept.
    """
    folder = memory()
    if folder is None or tempfile.gettempdir() != "/tmp":  # noqa: S108 - asked, not used
        return
    if shutil.disk_usage(folder).free >= ENOUGH:
        tempfile.tempdir = folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories over the whole house before everything else; otherwise the order in which they were found.

    So no worker is left alone with a story at the end.
    """
    items.sort(key=lambda item: item.get_closest_marker("scenario") is None)
