"""Messages from one to another, through a broker or a tunnel: each comes once, in order."""

import os
import subprocess
import time
from pathlib import Path

from talk import LOG, PATIENCE_S, connected, done, echoed, free_port, start, until, work

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


def mosquitto():
    """One pair of a publisher and a subscriber for each quality of service."""
    port = free_port()
    with open("mosquitto.conf", "w") as file:
        file.write(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    start("mosquitto", "-c", "mosquitto.conf", "-v")
    connected(port).close()

    def pair(quality):
        how = ["-p", port, "-t", f"topic{quality}", "-q", quality]
        reader = start("mosquitto_sub", *how, **PIPES)
        until(lambda: f"topic{quality} (QoS {quality})" in Path(LOG).read_text())
        writer = start("mosquitto_pub", *how, "-l", **PIPES)
        return lambda i: echoed(writer, reader, b"message %d" % i)

    work(*map(pair, range(3)))


def sshd():
    """Two sessions at a server of the user's own, which take their keys anew now and then."""
    here, port = os.getcwd(), free_port()
    for key in ("host", "user"):
        done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    os.rename("user.pub", "authorized")
    with open("sshd.conf", "w") as file:
        file.write(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {here}/host\nPidFile {here}/pid\n"
            f"AuthorizedKeysFile {here}/authorized\nStrictModes no\nUsePAM no\n"
        )
    start("/usr/sbin/sshd", "-D", "-e", "-f", f"{here}/sshd.conf")
    connected(port).close()
    user = done("id", "-un").strip()
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "RekeyLimit=1M"]
    how = [word for option in options for word in ("-o", option)]

    def session(n):
        words = ["ssh", "-F", "none", "-i", "user", *how, "-p", port, f"{user}@127.0.0.1", "cat"]
        process = start(*words, **PIPES)
        return lambda i: echoed(process, process, b"%d.%d " % (n, i) * (1 + i * 97 % 9000))

    work(*map(session, range(2)))


def rabbitmq():
    """Erlang. It looks for itself in /proc, which is the host's: it is told to count on its own."""
    import pika

    here, port = os.getcwd(), free_port()
    with open("rabbitmq.conf", "w") as file:
        file.write("vm_memory_calculation_strategy = allocated\n")
    names = {
        "NODENAME": f"node{port}@localhost", "NODE_PORT": port, "DIST_PORT": free_port(),
        "NODE_IP_ADDRESS": "127.0.0.1", "MNESIA_BASE": f"{here}/data", "LOG_BASE": f"{here}/log",
        "PID_FILE": f"{here}/pid", "CONFIG_FILE": f"{here}/rabbitmq.conf",
        "ENABLED_PLUGINS_FILE": f"{here}/plugins",
    }  # fmt: skip
    env = {f"RABBITMQ_{name}": str(value) for name, value in names.items()}
    env |= {"HOME": here, "ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    start("/usr/lib/rabbitmq/bin/rabbitmq-server", env={**os.environ, **env})
    connected(port).close()

    def pair(n):
        where = pika.ConnectionParameters("127.0.0.1", port, heartbeat=PATIENCE_S)
        writer, reader = (pika.BlockingConnection(where).channel() for _ in range(2))
        writer.queue_declare(f"queue{n}")
        writer.confirm_delivery()

        def ask(i):
            writer.basic_publish("", f"queue{n}", b"message %d" % i, mandatory=True)
            deadline, body = time.monotonic() + PATIENCE_S, None
            while body is None and time.monotonic() < deadline:
                _, _, body = reader.basic_get(f"queue{n}", auto_ack=True)
            assert body == b"message %d" % i, body

        return ask

    work(*map(pair, range(2)))


APPS = {"mosquitto": mosquitto, "sshd": sshd, "rabbitmq": rabbitmq}
