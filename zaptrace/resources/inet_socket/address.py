"""Addresses of internet sockets."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Annotated

from ...shapes import U16, U32, IpAddress, Range

_MAPPED = "::ffff:"

Key = tuple[str, int, int]
"""Equal for two addresses that mean the same: IPv4 may be written as IPv6."""


@dataclass(frozen=True)
class Address:
    host: IpAddress
    port: U16
    flow: Annotated[int, Range(0, 0xFFFFF)]
    scope: U32
    """Flow and scope are IPv6's."""

    def raw(self, family: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """As the socket module has it."""
        if family == socket.AF_INET:
            return (self.host, self.port)
        return (self.host, self.port, self.flow, self.scope)

    @property
    def shown(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def key(self) -> Key:
        return (self.four or self.host, self.port, self.scope)

    @property
    def four(self) -> str:
        """The IPv4 address that it is; "" for one of IPv6."""
        host = self.host.removeprefix(_MAPPED)
        return host if "." in host and ":" not in host else ""

    def of(self, family: int) -> Address:
        """The same for a socket of this family."""
        if family == socket.AF_INET:
            return Address(self.four, self.port, 0, 0)
        if self.four:
            return Address(_MAPPED + self.four, self.port, 0, 0)
        return self

    def elsewhere(self, family: int) -> Address:
        """A loopback address of the same kind, with a port that the kernel chooses."""
        return Address("127.0.0.1" if self.four else "::1", 0, 0, 0).of(family)

    @property
    def is_any(self) -> bool:
        return self.four == "0.0.0.0" or self.host == "::"

    @property
    def loops_back(self) -> bool:
        return self.four.startswith("127.") or self.host == "::1"


def address(raw: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    host, port, *rest = raw
    flow, scope = rest or (0, 0)
    return Address(host, port, flow, scope)
