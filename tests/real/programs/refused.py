"""Holds one thing that cannot be carried, waits, and finds that it still has it.

refused.py WHAT, one of the functions below.
"""

import ctypes
import fcntl
import mmap
import os
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def connection():
    """To a server that is not in the pod, at port OUTSIDE; it gives back what it is sent.

    With RESET in the environment it has to be found reset.
    """
    client = socket.create_connection(("127.0.0.1", int(os.environ["OUTSIDE"])))
    client.sendall(b"hello")
    assert client.recv(64) == b"hello"

    def check():
        if "RESET" in os.environ:
            try:
                client.recv(64)
            except ConnectionResetError:
                return
            raise AssertionError("it was not reset")
        client.sendall(b"still here")
        assert client.recv(64) == b"still here"

    return check


def fanotify():
    """The standing example of what no room claims: it watches file systems of this very host."""
    report_fid = 0x200  # all that an ordinary user may ask for
    fd = checked(libc.fanotify_init(report_fid, os.O_RDONLY))

    def check():
        assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[fanotify]"

    return check


def userfaultfd():
    """Of faults in user mode, which anybody may have."""
    user_mode_only = 1
    fd = checked(libc.syscall(323, os.O_CLOEXEC | user_mode_only))

    def check():
        assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[userfaultfd]"

    return check


def vsock():
    held = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)

    def check():
        assert held.family == socket.AF_VSOCK

    return check


def table_of_a_thread():
    """By close_range with CLOSE_RANGE_UNSHARE, in a thread that then waits."""
    apart, over = threading.Event(), threading.Event()
    close_range, unshare = 436, 2

    def work():
        checked(libc.syscall(close_range, 900, 999, unshare))
        apart.set()
        over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    apart.wait()

    def check():
        over.set()
        thread.join()

    return check


def mptcp():
    """A connection of the program with itself that both sides know as MPTCP."""
    protocol = 262
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    client.connect(listener.getsockname())
    server, _ = listener.accept()

    def check():
        server.sendall(b"hello")
        assert client.recv(5) == b"hello"

    return check


def landlock():
    """Of a child, which inherits it; the parent stays free."""
    create_ruleset, restrict_self, no_new_privs = 444, 446, 38
    handled = (ctypes.c_uint64 * 1)(1 << 13)  # making symbolic links
    gate = os.pipe()
    said = os.pipe()
    child = os.fork()
    if child == 0:
        ruleset = checked(libc.syscall(create_ruleset, handled, 8, 0))
        checked(libc.prctl(no_new_privs, 1, 0, 0, 0))
        checked(libc.syscall(restrict_self, ruleset, 0))
        os.close(ruleset)
        os.close(gate[1])
        if os.fork() == 0:
            os.write(said[1], b"x")
            os.read(gate[0], 1)
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
    os.read(said[0], 1)
    return lambda: os.close(gate[1])


def key():
    """In the keyring of the process."""
    add_key, keyctl, read, of_process = 248, 250, 11, -2
    serial = checked(libc.syscall(add_key, b"user", b"zt", b"secret", 6, of_process))

    def check():
        value = ctypes.create_string_buffer(6)
        assert checked(libc.syscall(keyctl, read, serial, value, 6)) == 6
        assert value.raw == b"secret"

    return check


def one_signal():
    """A directory that tells once, and then no more: nobody knows whether it has."""
    path = f"{os.environ['ZT_GO']}.watched"
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY)
    told = []
    signal.signal(signal.SIGIO, lambda *_: told.append(1))
    checked(libc.fcntl(fd, fcntl.F_NOTIFY, fcntl.DN_CREATE))

    def check():
        os.rmdir(path)
        return not told

    return check


def mapped_lease():
    """Nobody else may open its file, which a mapping would have to be made from: to try is to break it."""
    path = f"{os.environ['ZT_GO']}.leased"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, 4096)
    mapped = mmap.mmap(fd, 4096)
    told = []
    signal.signal(signal.SIGIO, lambda *_: told.append(1))
    f_setlease, f_getlease, lease = 1024, 1025, 1
    checked(libc.fcntl(fd, f_setlease, lease))

    def check():
        os.unlink(path)
        return not told and libc.fcntl(fd, f_getlease) == lease and mapped[0] == 0

    return check


def _only_mapped(lock):
    """A file that is locked, mapped, and closed (mmap(3) of Python's keeps a descriptor)."""
    path = f"{os.environ['ZT_GO']}.locked"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.truncate(fd, mmap.PAGESIZE)
    lock(fd)
    assert libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0) != -1
    os.close(fd)
    return lambda: os.unlink(path)


def mapped_socket():
    """As who receives without copying has it (TCP_ZEROCOPY_RECEIVE)."""
    sock = socket.socket()
    libc.mmap.restype = ctypes.c_void_p
    got = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, sock.fileno(), 0)
    assert got != ctypes.c_void_p(-1).value
    return lambda: sock.close()


def mapped_ofd_lock():
    f_ofd_setlk, struct_flock = 37, struct.pack("=hh4xqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    return _only_mapped(lambda fd: fcntl.fcntl(fd, f_ofd_setlk, struct_flock))


def mapped_lock_of_nobody():
    """Whoever took it has ended."""

    def lock(fd):
        if not (child := os.fork()):
            fcntl.flock(fd, fcntl.LOCK_EX)
            os._exit(0)
        os.waitpid(child, 0)

    return _only_mapped(lock)


def unreadable_executable():
    """Of a child: removed once it runs, and never to be read."""
    copy = f"{os.environ['ZT_GO']}.sleep"
    shutil.copy("/bin/sleep", copy)
    os.chmod(copy, 0o111)
    child = os.spawnv(os.P_NOWAIT, copy, [copy, "1000"])
    while not Path(f"/proc/{child}/stat").read_text().startswith(f"{child} (go.sleep) S"):
        time.sleep(0.01)
    os.unlink(copy)

    def check():
        os.kill(child, 9)
        assert os.waitpid(child, 0)[0] == child

    return check


STUB_VDSO, STUB_CODE, STUB_DATA = (0x7E9000000000 + offset for offset in (0x1000, 0x6000, 0x40000))


def poke(address, content):
    start, everything = address & ~(mmap.PAGESIZE - 1), 7
    checked(libc.mprotect(ctypes.c_void_p(start), mmap.PAGESIZE, everything))
    ctypes.memmove(address, content, len(content))
    return lambda: ctypes.string_at(address, len(content)) == content


def map_at(address, flags, content):
    libc.mmap.restype = ctypes.c_void_p
    fixed = 0x10
    rw = mmap.PROT_READ | mmap.PROT_WRITE
    got = libc.mmap(ctypes.c_void_p(address), mmap.PAGESIZE, rw, flags | fixed, -1, 0)
    assert got == address
    ctypes.memmove(address, content, len(content))
    return lambda: ctypes.string_at(address, len(content)) == content


def stub_overwritten():
    """By a jump to itself: whoever runs it never comes back."""
    return poke(STUB_CODE, b"\xeb\xfe")


def stub_mapped_over():
    return map_at(STUB_DATA, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, b"of the program")


def stub_joined():
    """The kernel makes one mapping of two that are alike."""
    noreserve = 0x4000
    with open("/proc/self/maps") as maps:
        (end,) = (line.split()[0][13:] for line in maps if line.startswith(f"{STUB_DATA:x}-"))
    return map_at(
        int(end, 16), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve, b"of the program"
    )


def vdso_changed():
    """In the unused bytes of its ELF header."""
    return poke(STUB_VDSO + 9, b"changed")


check = globals()[sys.argv[1]]()
print("ready", flush=True)
while not os.path.exists(os.environ["ZT_GO"]):
    time.sleep(0.01)
assert check() is not False
print("PASS", flush=True)
