"""``python -m tests.gates``: the gates of ``make check`` that no linter has."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from tests.gates.files import Text, texts
from tests.gates.rules import RULES, Finding


def main() -> int:
    files = list(texts())
    findings = sorted(finding for rule in RULES for file in files for finding in rule(file))
    for finding in findings:
        print(finding)
    print(summary(files, findings))
    return 1 if findings else 0


def summary(files: Sequence[Text], findings: Sequence[Finding]) -> str:
    """Figures to steer by, beside the gates."""
    source = [len(file.lines) for file in files if file.is_source and file.lines]
    tests = sum(len(file.lines) for file in files if file.is_test)
    ratio = tests / max(1, sum(source))
    return (
        f"{len(RULES)} gates, {len(files)} files, {len(findings)} findings; "
        f"modules: {len(source)}, median {statistics.median(source or [0]):.0f} lines; "
        f"tests to source {ratio:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
