"""A Cancel that is asked at a chosen one of the looks at it."""

from __future__ import annotations

from zaptrace.cancel import Cancel


class AtLook(Cancel):
    """Is asked when it is looked at for the n-th time; 0: never."""

    def __init__(self, what: str, n: int = 0) -> None:
        super().__init__(what)
        self.looks = 0
        self._n = n

    def check(self) -> None:
        """See Cancel; a look."""
        self.looks += 1
        if self.looks == self._n:
            assert self.ask("a test")
        super().check()

    def commit(self) -> None:
        """See Cancel; a look, too."""
        self.check()
        super().commit()
