"""Rows, until somebody says that it is enough: one process counts, one writes what it is told.

rows.py [NAME]     rows-NAME gets a number a row, from 0 on, each once; until there is a file `enough`
"""

import os
import sys
import time


def write(numbers: int, table: str) -> None:
    """Each as a row of the table, in a file that stays open, two calls a row."""
    out = os.open(table, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    with os.fdopen(numbers) as lines:
        for line in lines:
            os.write(out, line.strip().encode())
            os.write(out, b"\n")


def main() -> None:
    table = f"rows-{sys.argv[1] if sys.argv[1:] else ''}"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        write(reader, table)
        os._exit(0)
    os.close(reader)
    count = 0
    while not os.path.exists("enough"):
        os.write(writer, f"{count}\n".encode())
        count += 1
        time.sleep(0.002)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    print("counted", count, flush=True)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
