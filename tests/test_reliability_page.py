"""docs/reliability.md names tests that exist, and a result for each case."""

import re

from tests.small_disk import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]


def test_every_case_has_a_result_and_a_test_that_exists():
    sources = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").glob("test_*.py"))
    cases = [row for row in ROWS if row[0].strip() != "case"]
    assert len(cases) > 40
    for case, _, seen, tests in cases:
        names = re.findall(r"`(\w+)`", tests)
        assert names and len(seen) > 3, case
        missing = [n for n in names if not re.search(rf"(def|class) {n}\b|^{n} =", sources, re.MULTILINE)]
        assert not missing, missing
