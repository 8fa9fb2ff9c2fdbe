"""What is refused, as a user knows it: why, and what works instead. One table, for `zaptrace help TOPIC`,
for docs/refused.md, and for the last line of an error.

`says` is found in what the error says. The first row that fits counts, so narrow ones come first.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Topic(NamedTuple):
    """One kind of thing that a pod can hold and nobody can carry, or that a pod cannot do."""

    name: str
    title: str
    says: str
    why: str
    instead: str


TOPICS = (
    Topic(
        "tcp",
        "A TCP connection to another host, or to a process outside the pod",
        r"is a TCP connection( that is being made)?$",
        "The other end would have to know of the move. Carried are connections within the pod, and "
        "listening sockets.",
        "Start the other program in the pod too; or end the connection first (close the client, stop "
        "the pool); or have it cut in the image: --outside close. The program then reads the end of "
        "it, as after a restart of the other side, and most clients connect again.",
    ),
    Topic(
        "mptcp",
        "A connection of MPTCP",
        r"is a connection of MPTCP$",
        "The kernel makes one between a client and a listener only, while those of TCP are made again from "
        "both sides at once, as a listener of the pod may have the port; and it lets nobody look at what "
        "waits on it beyond its beginning (SO_PEEK_OFF).",
        "Have one side speak TCP: GODEBUG=multipathtcp=0 for programs in Go, no mptcpize. Listening "
        "sockets of MPTCP are carried, with the connections of clients that know TCP only.",
    ),
    Topic(
        "unix-socket",
        "A unix socket to a process outside the pod: D-Bus, X11, ssh-agent, a database, a Jupyter client",
        r"unix socket to a process|sends to a socket outside|whose other end is not in the pod",
        "The other process is not in the pod, and would keep its end.",
        "Start that process in the pod too; or run the program without it (unset "
        "DBUS_SESSION_BUS_ADDRESS, DISPLAY, SSH_AUTH_SOCK); or have the connection cut in the image: "
        "--outside close. A datagram socket with a name, as syslog's clients have, is connected again.",
    ),
    Topic(
        "pipe",
        "A pipe to a process outside the pod",
        r"is a pipe to a process outside|named pipe that cannot be reached",
        "What is written to it afterwards would have nobody to read it.",
        "Start all of a pipeline in the pod: zaptrace run -- sh -c 'a | b'; or write to a file. The "
        "standard streams of a pod (0, 1, 2) may be pipes of whoever started it.",
    ),
    Topic(
        "terminal",
        "A terminal outside the pod",
        r"is a terminal outside|terminal that has hung up|name of a terminal|terminal's master|line dis|"
        r"does not take back",
        "The window belongs to another program.",
        "Start the pod from that terminal with zaptrace run, which gives it a terminal of its own; or "
        "start it with -d. A tmux server with its windows can be started in a pod as a whole.",
    ),
    Topic(
        "inotify",
        "Watches of files (inotify) that cannot be set again",
        r"watches a file that cannot be found|watches a process in /proc|inotify instance whose",
        "A watch is of a file, not of a path; where the file was removed or replaced nobody can tell "
        "which one it is.",
        "Have the program let go of watches of files that are gone; or keep watched files where they "
        "are until the checkpoint is done.",
    ),
    Topic(
        "files",
        "A file that is no longer where it was opened, or may not be opened so again",
        r"a file that cannot be reached|working directory|without a name|its mode forbids|"
        r"path cannot be told|"
        r"executable was removed|directory of a process that has ended",
        "Files are opened again by their paths. Deleted files that can be read do travel.",
        "Give the file its name or its mode back; or let the program close it. At a restore, "
        "--allow-changed PATH takes another file of that name.",
    ),
    Topic(
        "proc",
        "A file of /proc about a process outside the pod, or a pidfd of one",
        r"looks at a process outside|looks at a thread that has ended|pidfd of a process outside",
        "That process is not in the pod, and there is another, or none, where the pod goes on.",
        "Start both in one pod; or let the program close it.",
    ),
    Topic(
        "locks",
        "A few leases, unknown locks, and some directories that raise signals",
        r"holds a lease|holds a lock of|directory that raises|sends its signals out|a mapping keeps",
        "They stand for whoever else has the file open on this host, or tell of the checkpoint itself.",
        "Use flock, POSIX or open file description locks, which are carried; or inotify.",
    ),
    Topic(
        "namespaces",
        "Namespaces and roots of a program's own: containers, chroot, unshare",
        r"namespace of its own|changed its root|namespace of somebody|another network namespace",
        "What is mounted and reachable there is not known outside of it.",
        "Run zaptrace inside the container: it needs no privilege there. Without namespaces and "
        "chroot the program is carried.",
    ),
    Topic(
        "sandbox",
        "A Landlock sandbox, or seccomp filters that nobody knows",
        r"Landlock sandbox|seccomp filters are not known",
        "The kernel tells nobody the rules, so they could not be put on again; without them the "
        "program would be less confined than it was.",
        "Run the program without that sandbox. Ordinary seccomp filters are carried.",
    ),
    Topic(
        "keys",
        "Keys in the kernel's keyrings",
        r"keys that the kernel keeps",
        "A key's number is of this host, and its payload may not be read.",
        "Have the program revoke them, or keep its secrets in a file.",
    ),
    Topic(
        "users",
        "Processes of another user, or with rights given up",
        r"other user or group ids|given up rights|message of another user|to another user",
        "Who restores a pod could not, or should not, become that user.",
        "Run the pod as the user that the program runs as.",
    ),
    Topic(
        "memory",
        "Memory that is no ordinary memory: files of hugetlbfs, devices, guard pages",
        r"it maps |memory at .* cannot be read|huge pages of |place in its memory|"
        r"shared memory of an unknown|System V segment",
        "What is in it cannot be read, or not be made again.",
        "Run the program without: GPU drivers, device memory. Huge pages come back as such where the "
        "host has as many: /sys/kernel/mm/hugepages.",
    ),
    Topic(
        "moment",
        "Something that is there for a moment only",
        r"not read yet|not sent yet|not accepted yet|under way|to read$|do not come to an end|"
        r"looked at, as nobody|cannot be copied|ring was overwritten",
        "To look at it would take it away from the program. A checkpoint waits for a while that it "
        "passes, with the pod running.",
        "Try again; or let the program read what has come.",
    ),
    Topic(
        "tree",
        "Sessions and threads that are made in a way nobody could make again",
        r"place in the tree|of its own$|made it so is gone|sessions older|which its parent was never|"
        r"relatives that are apart",
        "Only who is in a session can have children there, and only relatives can share.",
        "Start daemons by a double fork, as they do anyway.",
    ),
    Topic(
        "kernel",
        "Something that this kernel does not tell",
        r"this kernel does not tell|without taking them|cannot be told|events cannot be looked at",
        "The kernel was built without what tells it, or a container's profile hides it.",
        "zaptrace check says what this host lacks, and what to do.",
    ),
    Topic(
        "sockets",
        "Sockets of kinds and with options that cannot be read back: raw, SCTP, eBPF filters",
        r"internet socket of type|packet socket|filter of eBPF|socket of AF_|socket of the address family",
        "The kernel does not tell what is in them.",
        "TCP, UDP, ICMP, unix and netlink sockets are carried, with classic filters.",
    ),
    Topic(
        "epoll",
        "An epoll instance that watches a file which is open nowhere any more",
        r"open nowhere in the pod",
        "The file was given away or closed in one process while another holds it outside the pod.",
        "Let the program remove it (EPOLL_CTL_DEL) before it gives it away.",
    ),
    Topic(
        "mqueue",
        "A POSIX message queue that tells somebody in a way that cannot be set up again",
        r"message queue that",
        "Who is told is outside the pod, or has closed the socket by which the C library is told "
        "(SIGEV_THREAD).",
        "Have it tell by a signal (SIGEV_SIGNAL), or wait in mq_receive.",
    ),
    Topic(
        "timers",
        "Timers and sleeps on the CPU time of a process that is gone, or for a while",
        r"its timer|sleeps while a process uses",
        "That clock cannot be had again, or it is not told how much is left.",
        "Use CLOCK_MONOTONIC, or the CPU time of the program itself.",
    ),
    Topic(
        "other",
        "A kind of file that no room carries: io_uring, eBPF, perf, userfaultfd, devices",
        r"^cannot checkpoint .* is |neither an address nor a peer",
        "The kernel does not show all that is in it. io_uring answers ENOSYS in a pod, so that "
        "programs fall back to epoll.",
        "Have the program close it, or run it without that feature.",
    ),
    Topic(
        "nested",
        "A pod in a pod; gdb and strace in a pod",
        r"a pod in a pod",
        "A process has one tracer, and that is zaptrace's.",
        "Start both pods side by side, from outside. To look into a program: zaptrace ps POD, logs, "
        "/proc; or debug it outside a pod.",
    ),
)


def topic_of(text: str) -> Topic | None:
    """Of an error's first line."""
    return next((topic for topic in TOPICS if re.search(topic.says, text)), None)


def page() -> str:
    """docs/refused.md."""
    parts = [
        "<!-- made from zaptrace/cli/_topics.py; refresh with: make table -->",
        "# What is refused, and what works instead",
        "A checkpoint or a migration of a pod that holds one of these says so by name, and the pod runs "
        "on; nothing is ever restored wrongly or left out silently. The last line of such an error names "
        "the topic; `zaptrace help TOPIC` prints the same as this page.",
    ]
    for topic in TOPICS:
        parts += [
            f"## {topic.name}",
            f"**{topic.title}.**",
            topic.why,
            f"**Instead:** {topic.instead}",
        ]
    return "\n\n".join(parts) + "\n"
