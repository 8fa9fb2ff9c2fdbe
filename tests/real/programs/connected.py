"""Holds an established TCP connection to itself, and goes on using it when told so."""

import os
import socket
import time

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
print("ready", flush=True)
while not os.path.exists(os.environ["ZT_GO"]):
    time.sleep(0.01)
client.sendall(b"still here")
assert server.recv(100) == b"still here"
print("PASS", flush=True)
