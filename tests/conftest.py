"""The order of the tests: the long stories first, so that no worker is left alone with them at the end."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories over the whole house before everything else; otherwise the order in which they were found."""
    items.sort(key=lambda item: item.get_closest_marker("scenario") is None)
