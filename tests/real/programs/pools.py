"""Everything that multiprocessing shares: pools, locks, semaphores, barriers, memory, managers."""

import multiprocessing as mp
import sys
import time
from multiprocessing import shared_memory

WORKERS, ROUNDS = 3, 40


def cube(n):
    time.sleep(0.003)
    return n * n * n


def worker(number, lock, tickets, barrier, total, table, name, done):
    block = shared_memory.SharedMemory(name=name)
    for turn in range(ROUNDS):
        with tickets:
            time.sleep(0.002)
        with lock:
            total.value += number
        with table.get_lock():
            table[number] = turn
        block.buf[number * ROUNDS + turn] = (number + turn) % 256
        barrier.wait()
        if barrier.wait() == 0:  # after all have looked, one begins the next turn
            done.set()
        with table.get_lock():
            assert list(table) == [turn] * WORKERS or max(table) == turn + 1, list(table)
    block.close()


def main():
    method = sys.argv[1]
    mp.set_start_method(method)
    with mp.Pool(WORKERS) as pool:
        print("pool", sum(pool.imap_unordered(cube, range(150), chunksize=3)))
        print("map", pool.map(cube, range(20)))
        print("async", pool.apply_async(cube, (7,)).get(60))
    lock, tickets, barrier = mp.RLock(), mp.Semaphore(2), mp.Barrier(WORKERS)
    total, table, done = mp.Value("q", 0), mp.Array("i", WORKERS), mp.Event()
    block = shared_memory.SharedMemory(create=True, size=WORKERS * ROUNDS)
    common = (lock, tickets, barrier, total, table, block.name, done)
    workers = [mp.Process(target=worker, args=(n, *common)) for n in range(WORKERS)]
    for w in workers:
        w.start()
    assert done.wait(60)
    for w in workers:
        w.join()
        print("exit", w.exitcode)
    print("total", total.value, "table", list(table), "memory", sum(block.buf[: WORKERS * ROUNDS]))
    block.close()
    block.unlink()
    with mp.Manager() as manager:
        shared = manager.dict()
        for n in range(100):
            shared[n] = cube(n)
        print("manager", sum(shared.values()))


if __name__ == "__main__":
    main()
