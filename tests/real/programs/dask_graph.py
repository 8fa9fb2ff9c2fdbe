"""A dask graph on worker processes."""

import time

import dask


@dask.delayed
def square(n):
    time.sleep(0.005)
    return n * n


@dask.delayed
def total(parts):
    return sum(parts)


def main():
    for turn in range(3):
        graph = total([square(n + turn) for n in range(60)])
        print(turn, graph.compute(scheduler="processes", num_workers=3), flush=True)


if __name__ == "__main__":
    main()
