"""A mutation that no longer finds its guard proves nothing: it is noticed with every test run."""

from __future__ import annotations

import pytest

from tests.mutations.__main__ import MUTATIONS, ROOT
from tests.mutations.guards import Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_guard_is_there_once_and_so_is_its_test(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert (ROOT / mutation.test.partition("::")[0]).is_file()
