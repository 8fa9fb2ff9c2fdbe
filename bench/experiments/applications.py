"""What applications take, natively and inside of each system."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from ..experiment import Experiment, Figure
from ..system import Inside, NotOfferedError, RefusedError, WrongError

SCRIPTS = Path(__file__).resolve().parent.parent / "applications"


class Applications(Experiment):
    name = "applications"
    title = "What applications take"
    share = 3.0
    limit_s = 300.0
    about = (
        "Each is a shell script of bench/applications, which prepares, says when it begins and ends by "
        "the clock that it sees, and looks at its own result. seconds: between the two."
    )
    rounds = 3

    def cases(self, quick: bool) -> list[str]:
        return ["numbers"] if quick else sorted(path.stem for path in SCRIPTS.glob("*.sh"))

    def measure(self, case: str, inside: Inside, place: Path) -> Iterable[Figure]:
        script = (SCRIPTS / f"{case}.sh").read_text()
        began = time.perf_counter()
        try:
            said = inside.run(["/bin/sh", "-euc", f"{COMMON}\n{script}"], patience_s=self.limit_s)
        except RefusedError as error:
            if missing := re.search(r"@missing (\S+)", str(error)):
                raise NotOfferedError(f"{missing[1]} is not installed in it") from None
            raise
        whole = time.perf_counter() - began
        yield Figure("seconds", seconds(said), "s")
        yield Figure("with its preparations", whole, "s")


COMMON = """
base=${TMPDIR:-/tmp}; [ ! -w /dev/shm ] || base=/dev/shm
w=$(mktemp -d "$base/bench.XXXXXX"); trap 'rm -rf "$w"' EXIT; cd "$w"
need() { for p; do command -v "$p" >/dev/null || { echo "@missing $p"; exit 9; }; done; }
begin() { echo "@begin $(date +%s.%N)"; }
end() { echo "@end_ $(date +%s.%N)"; }
right() { [ "$1" = "$2" ] && echo @right || { echo "@wrong $1, not $2"; exit 1; }; }
"""


def seconds(said: str) -> float:
    """Between begin and end, of a script that found its result to be right."""
    found = re.search(r"@begin (\S+).*@end_ (\S+).*(@right|@wrong[^\n]*)", said, re.S)
    if not found or found[3] != "@right":
        raise WrongError(found[3] if found else f"it said {said[-200:]!r}")
    return float(found[2]) - float(found[1])
