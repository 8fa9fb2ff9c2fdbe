"""Who we are, whom we know, and whom we let in: the keys of the wire.

    $ZAPTRACE_CONFIG_DIR, else $XDG_CONFIG_HOME/zaptrace, else ~/.config/zaptrace    mode 0700
    ├── identity           our secret key, made on first use, mode 0600
    ├── identity.pub       the public half, as others write it into their authorized_hosts
    ├── known_hosts        servers we trust:   host:port key
    └── authorized_hosts   who may send us pods:   key comment

Keys are Curve25519 (ZeroMQ's CURVE), written as `zap-` and 43 characters of base64url. Every user
has one, for both roles. Empty lines and lines that begin with `#` are left alone in both files.

CURVE needs the server's public key before the first byte, so there is nothing to be shown and asked
"trust it?" as ssh does. Instead, in this order:

1. `--key zap-...`, which `zaptrace serve` prints. Once a connection with it has been made it is
   remembered in known_hosts (trust on first use, on request). A key other than the known one is
   refused, and the error names the line to remove.
2. the entry in known_hosts.
3. our own key. Only we have the secret half, so a server that can answer to it *is* us: this host,
   or any other that shares our configuration directory, needs no setup at all.

A server lets in its own key, for the same reason, and those in authorized_hosts, which is read anew
for every connection. Files that others may write to are refused, as ssh does.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import getpass
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.utils.z85

from ..errors import HostError
from ..linux import outside, private

KEY_BYTES = 32
_PREFIX = "zap-"
_MOST = 16 << 20
"""Bytes of a file of keys."""
_ENDPOINT = re.compile(r"tcp://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.*-]+):([0-9]{1,5}|\*)", re.ASCII)


@dataclass(frozen=True)
class Identity:
    """A key pair: 32 bytes each."""

    public: bytes
    secret: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The public key as people write it."""
        return encode(self.public)

    @property
    def line(self) -> str:
        """The line that lets us in, for the authorized_hosts of another host."""
        return f"{self.text} {_whoami()}"


def new_identity() -> Identity:
    """A fresh key pair, kept nowhere."""
    public, secret = zmq.curve_keypair()
    return Identity(zmq.utils.z85.decode(public), zmq.utils.z85.decode(secret))


def encode(public: bytes) -> str:
    """The text of a key. (Not ZeroMQ's Z85, which has `#`, `$` and `&` in it.)"""
    return _PREFIX + base64.urlsafe_b64encode(public).decode().rstrip("=")


def decode(text: str) -> bytes:
    """The key that `text` stands for. Raises HostError when it stands for none."""
    with contextlib.suppress(ValueError):
        if text.startswith(_PREFIX):
            key = base64.b64decode(text[len(_PREFIX) :] + "=", altchars=b"-_", validate=True)
            if len(key) == KEY_BYTES and encode(key) == text:
                return key
    raise HostError(
        f"{text!r} is not a key",
        needed=f"{_PREFIX} and 43 letters, digits, '-' or '_'",
        found=f"{len(text)} characters",
        remedy="copy the whole key that zaptrace serve prints",
    )


def host_of(endpoint: str) -> str:
    """`host:port` of `tcp://host:port`. Raises HostError for what is no such endpoint."""
    if match := _ENDPOINT.fullmatch(endpoint):
        return f"{match[1]}:{match[2]}"
    raise HostError(
        f"{endpoint!r} is not an address of a host server",
        needed="tcp://HOST:PORT",
        found=endpoint,
        remedy="for example tcp://127.0.0.1:7077",
    )


class Keys:
    """The keys in one configuration directory; made, with the identity, when first used."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = Path(directory) if directory is not None else config_dir()
        self.known_hosts = self.directory / "known_hosts"
        self.authorized_hosts = self.directory / "authorized_hosts"
        _private_directory(self.directory)
        self.identity = self._identity()

    def server_key(self, endpoint: str, given: str | None = None) -> bytes:
        """The public key to expect at `endpoint`; `given` is what the user says it is."""
        host = host_of(endpoint)
        known = self._known(host)
        if given is None:
            return known[1] if known else self.identity.public
        key = decode(given)
        if known and known[1] != key:
            raise HostError(
                f"the key of {host} is not the one that is known",
                needed=encode(known[1]),
                found=given,
                remedy=f"when the host was given a new key, remove line {known[0]}"
                f" of {self.known_hosts}; otherwise somebody stands between",
                changed="nothing",
            )
        return key

    def remember(self, endpoint: str, key: bytes) -> None:
        """Note that `endpoint` has proven to hold `key`; does nothing when that is known."""
        host = host_of(endpoint)
        if key != self.identity.public and self._known(host) is None:
            _append(self.known_hosts, f"{host} {encode(key)}")

    def who(self, public: bytes) -> str | None:
        """The comment of the authorised `public`, ours included; None when it may not come in."""
        if public == self.identity.public:
            return _whoami()
        for _, words in _lines(self.authorized_hosts):
            with contextlib.suppress(HostError):
                if decode(words[0]) == public:
                    return " ".join(words[1:]) or words[0]
        return None

    def authorize(self, text: str, comment: str = "") -> None:
        """Let the holder of the key `text` send us pods."""
        if self.who(decode(text)) is None:
            _append(self.authorized_hosts, f"{text} {comment}".rstrip())

    def _known(self, host: str) -> tuple[int, bytes] | None:
        for number, words in _lines(self.known_hosts):
            if words[0] == host and len(words) > 1:
                return number, decode(words[1])
        return None

    def _identity(self) -> Identity:
        path = self.directory / "identity"
        if not path.exists():
            self._make_identity(path)
        _refuse_others(path, 0o077)
        try:
            secret = decode(outside.read(path, _MOST).decode().strip())
            public = zmq.utils.z85.decode(zmq.curve_public(zmq.utils.z85.encode(secret)))
        except (HostError, ValueError, OSError) as e:
            raise HostError(
                f"cannot use our key {path}",
                needed="a secret key",
                found=str(e).partition("\n")[0],
                remedy=f"remove {path}; a new one is made, and has to be authorised again",
            ) from e
        return Identity(public, secret)

    def _make_identity(self, path: Path) -> None:
        with _kept_in(self.directory):
            self._write_identity(path, new_identity())

    def _write_identity(self, path: Path, made: Identity) -> None:
        fd, beside = tempfile.mkstemp(prefix=".identity.", dir=self.directory)
        try:
            with private.as_file(fd, "w") as f:
                os.fchmod(fd, 0o600)
                f.write(encode(made.secret) + "\n")
                f.flush()
                os.fsync(f.fileno())
            os.link(beside, path)  # fails when another process was first: then its key is ours
            private.write(self.directory / "identity.pub", made.line + "\n")
        except FileExistsError:
            pass
        finally:
            os.unlink(beside)


def config_dir() -> Path:
    """Where this user's keys are; see the module's docstring."""
    if given := os.environ.get("ZAPTRACE_CONFIG_DIR"):
        return Path(given).absolute()
    if xdg := os.environ.get("XDG_CONFIG_HOME"):
        return Path(xdg) / "zaptrace"
    try:
        return Path("~/.config/zaptrace").expanduser()
    except RuntimeError:
        raise HostError(
            "there is no place for keys",
            needed="a home directory, for ~/.config/zaptrace",
            found=f"no HOME, and no entry of uid {os.geteuid()} in /etc/passwd",
            remedy="set HOME, or ZAPTRACE_CONFIG_DIR to a directory that you can write to",
        ) from None


@contextlib.contextmanager
def _kept_in(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise HostError(
            f"cannot keep keys in {path}",
            needed="a directory of our own, with room in it",
            found=f"{e.strerror}: {e.filename or path}",
            remedy="set ZAPTRACE_CONFIG_DIR to a directory with room that you can write to",
        ) from e


def _private_directory(path: Path) -> None:
    with _kept_in(path):
        private.make_directory(path)
    _refuse_others(path, 0o022)


def _refuse_others(path: Path, forbidden: int) -> None:
    try:
        there = path.stat()
    except OSError as e:
        raise HostError(f"cannot use {path}", found=e.strerror, remedy=f"see ls -l {path}") from e
    if there.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(there.st_mode) & forbidden:
        what = "go-rwx" if forbidden & 0o044 else "go-w"
        raise HostError(
            f"others have access to {path}",
            needed=f"owner uid {os.geteuid()}, mode {what}",
            found=f"owner uid {there.st_uid}, {stat.filemode(there.st_mode)}",
            remedy=f"chmod {what} {path}",
        )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The numbered lines of a key file, as words, without comments."""
    try:
        text = outside.read(path, _MOST).decode(errors="replace")
    except FileNotFoundError:
        return
    except OSError as e:
        raise HostError(f"cannot read {path}", found=e.strerror, remedy=f"look at {path}") from e
    _refuse_others(path, 0o022)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _append(path: Path, line: str) -> None:
    """The whole line, or nothing of it."""
    with _kept_in(path.parent):
        fd = outside.open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(fd).st_size
            if not size:
                os.fchmod(fd, 0o600)
            mended = "\n" if size and os.pread(fd, 1, size - 1) != b"\n" else ""
            data = f"{mended}{line}\n".encode()
            if os.write(fd, data) < len(data):
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
        finally:
            os.close(fd)


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, in a container
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
