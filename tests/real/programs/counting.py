"""Appends one number after the other to a file; a second copy of it could not stay hidden.

Each line is the number and what the process remembers of the one before, so that a lost, a repeated
and a doubled step all show. A file named `enough` ends it.
"""

import os
import time

before = -1
with open("numbers", "a", buffering=1) as out:
    print("ready", flush=True)
    while not os.path.exists("enough"):
        out.write(f"{before + 1} {before}\n")
        before += 1
        time.sleep(0.01)
print("PASS", flush=True)
