"""A pod that is restored under other ids than it had, and whose old ids are no longer its own."""

from __future__ import annotations

from typing import Any

from harness import born
from harness.runs import PodRun
from harness.strangers import MAX_OCCUPIED, not_shifted, strangers


class ShiftedRun(PodRun):
    """Fails when the restored pod's ids are not other ones."""

    def start(self) -> None:
        self.strangers = strangers()
        super().start()

    def _nursery(self) -> born.Nursery:
        return self.strangers.nursery()

    def _stopped(self, facts: dict[str, Any]) -> None:
        """What its threads were called, by the host and by themselves, is to be others'."""
        self.strangers.free()
        self.old = sorted({number for pair in facts["ids"] for number in pair})
        wanted = self.old[:MAX_OCCUPIED]
        rest = len(self.old) - len(wanted)
        said = self.strangers.occupy(wanted)
        self.note(said + (f"; {rest} more are free" if rest else ""))

    def restore(self, *, compare: bool = True) -> dict[str, Any]:
        after = super().restore(compare=compare)
        wrong = not_shifted(self.old, after["ids"], self.ask("ids", numbers=self.old))
        if wrong:
            raise self.failed(
                "its ids are not shifted, so this proves nothing:\n  " + "\n  ".join(wrong)
            )
        return after

    def _stacks(self) -> str:
        if self.strangers.way == "namespace":  # the supervisor is not our child: no way to ask it
            return self._log()
        return super()._stacks()

    def close(self) -> None:
        super().close()
        self.strangers.close()
