"""Pods that never moved and whose threads are attached only while something needs it: which calls come,
and for which of them somebody has to be attached (csrc/syscalls.py, at its end)."""

from __future__ import annotations
