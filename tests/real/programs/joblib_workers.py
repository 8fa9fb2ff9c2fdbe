"""joblib with worker processes (loky) and arrays in shared memory, without sockets of the internet."""

import time

from joblib import Parallel, delayed


def work(n):
    time.sleep(0.01)
    return n * n


def main():
    with Parallel(n_jobs=3) as parallel:
        for turn in range(4):
            print(turn, sum(parallel(delayed(work)(n + turn) for n in range(40))), flush=True)


if __name__ == "__main__":
    main()
