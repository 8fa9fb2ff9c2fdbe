"""Processes, threads, pipes and queues; every number is accounted for in what is printed."""

import multiprocessing as mp
import threading
import time

ITEMS = 240


def square(inbox, outbox):
    for n in iter(inbox.get, None):
        time.sleep(0.004)
        outbox.put((n, n * n))
    outbox.put(None)


def summing(connection):
    total = 0
    while (n := connection.recv()) is not None:
        total += n
        connection.send(total)
    connection.close()


def main():
    inbox, outbox = mp.Queue(), mp.Queue()
    squares = [mp.Process(target=square, args=(inbox, outbox)) for _ in range(3)]
    ours, theirs = mp.Pipe()
    summer = mp.Process(target=summing, args=(theirs,))
    for process in (*squares, summer):
        process.start()
    theirs.close()

    lock, counted = threading.Lock(), [0]

    def count():
        for _ in range(100):
            with lock:
                counted[0] += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()

    def feed():
        for n in range(ITEMS):
            inbox.put(n)
        for _ in squares:
            inbox.put(None)

    feeder = threading.Thread(target=feed)
    feeder.start()

    results, ended = {}, 0
    while ended < len(squares):
        item = outbox.get()
        if item is None:
            ended += 1
            continue
        n, squared = item
        assert n not in results, f"{n} came twice"
        results[n] = squared
    for n in range(ITEMS):
        ours.send(results[n])
        running = ours.recv()
        if n % 20 == 0:
            print(n, results[n], running, flush=True)
        time.sleep(0.002)
    ours.send(None)
    for thread in (*threads, feeder):
        thread.join()
    for process in (*squares, summer):
        process.join()
        print("exit", process.exitcode)
    print("counted", counted[0], "sum", running)


if __name__ == "__main__":
    main()
