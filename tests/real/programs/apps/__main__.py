"""An application with its clients, all in one pod: `python3 apps NAME`, in a directory of its own.

Each client checks the answers that it gets: complete, in order, once. Ready, ZT_GO and PASS are as in
tests/programs/zt_test.h.
"""

import os
import sys
import traceback

import desktop
import messages
import science
import stores
import talk
import terminals
import tools
import web

NAMES = {
    name: function
    for module in (desktop, messages, science, stores, terminals, tools, web)
    for name, function in module.APPS.items()
}


def main():
    try:
        NAMES[sys.argv[1]]()
        talk.end_all()
    except BaseException:
        traceback.print_exc()
        talk.kill_all()
        if os.path.exists(talk.LOG):
            with open(talk.LOG, errors="replace") as log:
                print(log.read()[-3000:])
        print("FAIL", flush=True)
        os._exit(1)
    print("PASS", flush=True)


main()
