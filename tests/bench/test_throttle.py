"""A network of a given speed: what goes in comes out, no faster, and is counted."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from bench.throttle import throttle

SIZE = 1 << 20


def test_bytes_pass_whole_and_take_their_time():
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, throttle(32e6) as network:

        def answer() -> None:
            here, _ = server.accept()
            with here, here.makefile("rb") as file:
                said.append(file.read())
                here.sendall(b"thanks")

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", network.to(server.getsockname()[1]))) as client:
            client.sendall(bytes(range(256)) * (SIZE // 256))
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as file:
                assert file.read() == b"thanks"
        thread.join()
        assert time.monotonic() - began >= 0.9 * SIZE * 8 / 32e6  # never less: that is its purpose
        assert said == [bytes(range(256)) * (SIZE // 256)]
        assert network.sent == SIZE
        port = network.to(server.getsockname()[1])
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        raise AssertionError("it listens after its end")
