"""sysv_left.py VALUE MODE: makes System V objects with one key, and leaves them behind when told to go."""

import ctypes
import os
import sys
import time

KEY, CREATE, EXCLUSIVE = 0x7A617034, 0o1000, 0o2000
SETVAL, GETVAL = 16, 12
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p


def checked(result):
    if result in (-1, None, 2**64 - 1):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


value = int(sys.argv[1])
flags = CREATE | EXCLUSIVE | int(sys.argv[2], 8)
memory = ctypes.c_int.from_address(checked(libc.shmat(checked(libc.shmget(KEY, 64, flags)), 0, 0)))
memory.value = value
semaphores = checked(libc.semget(KEY, 1, flags))
checked(libc.semctl(semaphores, 0, SETVAL, value))
checked(libc.msgget(KEY, flags))
print("ready", flush=True)
while not os.path.exists(os.environ["ZT_GO"]):
    time.sleep(0.01)
assert memory.value == libc.semctl(semaphores, 0, GETVAL) == value
print("PASS", flush=True)
