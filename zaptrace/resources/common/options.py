"""The socket options that are carried, in the order in which they are set.

Each is carried where its value is not that of a fresh socket of the same kind. What getsockopt(2) does
not show is noted when it is set (csrc/resources/inet_socket.c), or looked for elsewhere. Not here:

    what is of this host or moment  SO_ERROR, SO_COOKIE, SO_MEMINFO, TCP_INFO, TCP_SAVED_SYN ...
    what is another's, too          SO_RCVTIMEO_NEW, SO_BINDTOIFINDEX, IP_MSFILTER ...
    what no socket at rest has      TCP_REPAIR and what belongs to it
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from ...shapes import Among, Seen, Wrong

Table = dict[str, tuple[int, int, int]]
"""Option name -> (level, option, bytes)."""


class Options:
    """Of a map: options of this table, with values that each can have."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._among = Among(*table)

    def check(self, value: Mapping[str, bytes], seen: Seen) -> None:
        self._among.check(value, seen)
        for name, raw in value.items():
            size = self._table[name][2]
            if len(raw) > size:
                raise Wrong(f"[{name}] has the wrong length", f"up to {size} bytes", str(len(raw)))


_SOL, _IP, _IP6, _TCP, _UDP = (
    socket.SOL_SOCKET,
    socket.IPPROTO_IP,
    socket.IPPROTO_IPV6,
    socket.IPPROTO_TCP,
    socket.IPPROTO_UDP,
)

GENERAL: Table = {
    "SO_DEBUG": (_SOL, 1, 4),
    "SO_REUSEADDR": (_SOL, 2, 4),
    "SO_DONTROUTE": (_SOL, 5, 4),
    "SO_BROADCAST": (_SOL, 6, 4),
    "SO_KEEPALIVE": (_SOL, 9, 4),
    "SO_OOBINLINE": (_SOL, 10, 4),
    "SO_NO_CHECK": (_SOL, 11, 4),
    "SO_PRIORITY": (_SOL, 12, 4),
    "SO_LINGER": (_SOL, 13, 8),
    "SO_REUSEPORT": (_SOL, 15, 4),
    "SO_PASSCRED": (_SOL, 16, 4),
    "SO_RCVLOWAT": (_SOL, 18, 4),
    "SO_RCVTIMEO": (_SOL, 20, 16),
    "SO_SNDTIMEO": (_SOL, 21, 16),
    "SO_BINDTODEVICE": (_SOL, 25, 16),
    "SO_TIMESTAMP": (_SOL, 29, 4),
    "SO_PASSSEC": (_SOL, 34, 4),
    "SO_TIMESTAMPNS": (_SOL, 35, 4),
    "SO_MARK": (_SOL, 36, 4),
    "SO_TIMESTAMPING": (_SOL, 37, 8),
    "SO_RXQ_OVFL": (_SOL, 40, 4),
    "SO_WIFI_STATUS": (_SOL, 41, 4),
    "SO_PEEK_OFF": (_SOL, 42, 4),
    "SO_NOFCS": (_SOL, 43, 4),
    "SO_LOCK_FILTER": (_SOL, 44, 4),
    "SO_SELECT_ERR_QUEUE": (_SOL, 45, 4),
    "SO_BUSY_POLL": (_SOL, 46, 4),
    "SO_MAX_PACING_RATE": (_SOL, 47, 8),
    "SO_INCOMING_CPU": (_SOL, 49, 4),
    "SO_ZEROCOPY": (_SOL, 60, 4),
    "SO_TXTIME": (_SOL, 61, 8),
    "SO_TIMESTAMP_NEW": (_SOL, 63, 4),
    "SO_TIMESTAMPNS_NEW": (_SOL, 64, 4),
    "SO_TIMESTAMPING_NEW": (_SOL, 65, 8),
    "SO_PREFER_BUSY_POLL": (_SOL, 69, 4),
    "SO_RESERVE_MEM": (_SOL, 73, 4),
    "SO_TXREHASH": (_SOL, 74, 4),
    "SO_RCVMARK": (_SOL, 75, 4),
    "SO_PASSPIDFD": (_SOL, 76, 4),
    "SO_RCVPRIORITY": (_SOL, 82, 4),
    "SO_PASSRIGHTS": (_SOL, 83, 4),
    "SO_INQ": (_SOL, 84, 4),
    "SO_SNDBUF": (_SOL, 7, 4),
    "SO_RCVBUF": (_SOL, 8, 4),
    "SO_BUF_LOCK": (_SOL, 72, 4),
}
DOUBLED = ("SO_SNDBUF", "SO_RCVBUF")
"""The kernel doubles what is set (socket(7)), so half of what it shows gives it back."""

OF_ITSELF = {"SO_TXREHASH": (1,), "SO_BUF_LOCK": (1, 2, 3)}
"""Values that a kernel without the option is as good as set to: it takes another path when one fails
(5.18), and leaves alone a size that was set (5.14)."""

# IP_TOS sets SO_PRIORITY, too, so that comes after it.
INTERNET: Table = {
    "IP_TOS": (_IP, 1, 4),
    "IP_TTL": (_IP, 2, 4),
    "IP_OPTIONS": (_IP, 4, 40),
    "IP_RECVOPTS": (_IP, 6, 4),
    "IP_RETOPTS": (_IP, 7, 4),
    "IP_PKTINFO": (_IP, 8, 4),
    "IP_MTU_DISCOVER": (_IP, 10, 4),
    "IP_RECVERR": (_IP, 11, 4),
    "IP_RECVTTL": (_IP, 12, 4),
    "IP_RECVTOS": (_IP, 13, 4),
    "IP_FREEBIND": (_IP, 15, 4),
    "IP_PASSSEC": (_IP, 18, 4),
    "IP_TRANSPARENT": (_IP, 19, 4),
    "IP_RECVORIGDSTADDR": (_IP, 20, 4),
    "IP_MINTTL": (_IP, 21, 4),
    "IP_CHECKSUM": (_IP, 23, 4),
    "IP_BIND_ADDRESS_NO_PORT": (_IP, 24, 4),
    "IP_RECVFRAGSIZE": (_IP, 25, 4),
    "IP_RECVERR_RFC4884": (_IP, 26, 4),
    "IP_MULTICAST_IF": (_IP, 32, 4),
    "IP_MULTICAST_TTL": (_IP, 33, 4),
    "IP_MULTICAST_LOOP": (_IP, 34, 4),
    "IP_MULTICAST_ALL": (_IP, 49, 4),
    "IP_UNICAST_IF": (_IP, 50, 4),
    "IP_LOCAL_PORT_RANGE": (_IP, 51, 4),
    "IPV6_2292PKTINFO": (_IP6, 2, 4),
    "IPV6_2292HOPOPTS": (_IP6, 3, 4),
    "IPV6_2292DSTOPTS": (_IP6, 4, 4),
    "IPV6_2292RTHDR": (_IP6, 5, 4),
    "IPV6_2292HOPLIMIT": (_IP6, 8, 4),
    "IPV6_FLOWINFO": (_IP6, 11, 4),
    "IPV6_UNICAST_HOPS": (_IP6, 16, 4),
    "IPV6_MULTICAST_IF": (_IP6, 17, 4),
    "IPV6_MULTICAST_HOPS": (_IP6, 18, 4),
    "IPV6_MULTICAST_LOOP": (_IP6, 19, 4),
    "IPV6_MTU_DISCOVER": (_IP6, 23, 4),
    "IPV6_RECVERR": (_IP6, 25, 4),
    "IPV6_V6ONLY": (_IP6, 26, 4),
    "IPV6_MULTICAST_ALL": (_IP6, 29, 4),
    "IPV6_ROUTER_ALERT_ISOLATE": (_IP6, 30, 4),
    "IPV6_RECVERR_RFC4884": (_IP6, 31, 4),
    "IPV6_FLOWINFO_SEND": (_IP6, 33, 4),
    "IPV6_RECVPKTINFO": (_IP6, 49, 4),
    "IPV6_RECVHOPLIMIT": (_IP6, 51, 4),
    "IPV6_RECVHOPOPTS": (_IP6, 53, 4),
    "IPV6_HOPOPTS": (_IP6, 54, 256),
    "IPV6_RTHDRDSTOPTS": (_IP6, 55, 256),
    "IPV6_RECVRTHDR": (_IP6, 56, 4),
    "IPV6_RTHDR": (_IP6, 57, 256),
    "IPV6_RECVDSTOPTS": (_IP6, 58, 4),
    "IPV6_DSTOPTS": (_IP6, 59, 256),
    "IPV6_RECVPATHMTU": (_IP6, 60, 4),
    "IPV6_DONTFRAG": (_IP6, 62, 4),
    "IPV6_RECVTCLASS": (_IP6, 66, 4),
    "IPV6_TCLASS": (_IP6, 67, 4),
    "IPV6_AUTOFLOWLABEL": (_IP6, 70, 4),
    "IPV6_ADDR_PREFERENCES": (_IP6, 72, 4),
    "IPV6_MINHOPCOUNT": (_IP6, 73, 4),
    "IPV6_RECVORIGDSTADDR": (_IP6, 74, 4),
    "IPV6_TRANSPARENT": (_IP6, 75, 4),
    "IPV6_UNICAST_IF": (_IP6, 76, 4),
    "IPV6_RECVFRAGSIZE": (_IP6, 77, 4),
    "IPV6_FREEBIND": (_IP6, 78, 4),
    **GENERAL,
}

TCP: Table = {
    **INTERNET,
    "TCP_NODELAY": (_TCP, 1, 4),
    "TCP_MAXSEG": (_TCP, 2, 4),
    "TCP_CORK": (_TCP, 3, 4),
    "TCP_KEEPIDLE": (_TCP, 4, 4),
    "TCP_KEEPINTVL": (_TCP, 5, 4),
    "TCP_KEEPCNT": (_TCP, 6, 4),
    "TCP_SYNCNT": (_TCP, 7, 4),
    "TCP_LINGER2": (_TCP, 8, 4),
    "TCP_DEFER_ACCEPT": (_TCP, 9, 4),
    "TCP_WINDOW_CLAMP": (_TCP, 10, 4),
    "TCP_QUICKACK": (_TCP, 12, 4),
    "TCP_CONGESTION": (_TCP, 13, 16),
    "TCP_THIN_LINEAR_TIMEOUTS": (_TCP, 16, 4),
    "TCP_USER_TIMEOUT": (_TCP, 18, 4),
    "TCP_FASTOPEN": (_TCP, 23, 4),
    "TCP_NOTSENT_LOWAT": (_TCP, 25, 4),
    "TCP_SAVE_SYN": (_TCP, 27, 4),
    "TCP_FASTOPEN_CONNECT": (_TCP, 30, 4),
    "TCP_FASTOPEN_KEY": (_TCP, 33, 32),
    "TCP_FASTOPEN_NO_COOKIE": (_TCP, 34, 4),
    "TCP_INQ": (_TCP, 36, 4),
    "TCP_TX_DELAY": (_TCP, 37, 4),
    "TCP_RTO_MAX_MS": (_TCP, 44, 4),
    "TCP_RTO_MIN_US": (_TCP, 45, 4),
    "TCP_DELACK_MAX_US": (_TCP, 46, 4),
}

UDP: Table = {
    **INTERNET,
    "UDP_CORK": (_UDP, 1, 4),
    "UDP_ENCAP": (_UDP, 100, 4),
    "UDP_NO_CHECK6_TX": (_UDP, 101, 4),
    "UDP_NO_CHECK6_RX": (_UDP, 102, 4),
    "UDP_SEGMENT": (_UDP, 103, 4),
    "UDP_GRO": (_UDP, 104, 4),
}

RAW: Table = {
    **INTERNET,
    "IP_HDRINCL": (_IP, 3, 4),
    "IPV6_CHECKSUM": (_IP6, 7, 4),
    "IPV6_HDRINCL": (_IP6, 36, 4),
    "ICMP_FILTER": (socket.IPPROTO_RAW, 1, 4),
    "ICMP6_FILTER": (socket.IPPROTO_ICMPV6, 1, 32),
}

UDP_LITE: Table = {
    **UDP,
    "UDPLITE_SEND_CSCOV": (socket.IPPROTO_UDPLITE, 10, 4),
    "UDPLITE_RECV_CSCOV": (socket.IPPROTO_UDPLITE, 11, 4),
}
