"""What a program sets for its whole process is put back: other tests share it."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A program sends its logs to the stream of its test, which is closed afterwards."""
    yield
    structlog.reset_defaults()
