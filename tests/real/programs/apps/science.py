"""A notebook's kernel, workers of a graph, and ranks that pass messages."""

import os
import subprocess

from talk import PATIENCE_S, start, until, work


def jupyter():
    """A kernel and its client, over the TCP sockets of ZeroMQ."""
    from jupyter_client import KernelManager

    manager = KernelManager(kernel_name="python3", transport="tcp")
    with open("kernel.log", "ab") as log:
        manager.start_kernel(stdout=log, stderr=log)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE_S)

    def ask(i):
        said = []
        answer = client.execute_interactive(
            "x += 1; print(x)" if i else "x = 0; print(x)",
            timeout=PATIENCE_S,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
        assert answer["content"]["status"] == "ok", answer
        assert "".join(said) == f"{i}\n", said

    work(ask)
    until(client.hb_channel.is_beating)
    client.stop_channels()
    manager.shutdown_kernel()


def dask():
    """A scheduler and two workers in processes of their own, who stay the same ones."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    )
    client = Client(cluster)
    workers = client.run(os.getpid)
    assert len(workers) == 2

    def ask(_):
        squares = client.map(pow, range(20), [2] * 20, pure=False)
        assert client.submit(sum, squares, pure=False).result(PATIENCE_S) == 2470
        assert client.run(os.getpid) == workers

    work(ask)
    client.close()
    cluster.close()


def mpi(*options):
    """Four ranks that pass arrays around; ring.c, which looks for the go itself."""
    words = ["mpirun", "--oversubscribe", "-n", "4", *options, os.environ["ZT_RING"]]
    ring = start(*words, stdout=subprocess.PIPE)
    for line in ring.stdout:
        print(line.decode(), end="", flush=True)
    assert ring.wait() == 0


APPS = {
    "jupyter": jupyter,
    "dask": dask,
    "mpi": mpi,
    "mpi-tcp": lambda: mpi("--mca", "btl", "tcp,self"),
}
