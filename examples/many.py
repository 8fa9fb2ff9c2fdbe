"""Many pods at once, with asyncio: the first to find an answer stops the others.

python3 many.py
"""

import asyncio
import sys

from zaptrace import aio

SEARCH = "import sys, time; time.sleep(int(sys.argv[1]) * 0.2); print('found', sys.argv[1])"


async def search(number: int) -> str:
    """One pod's answer; its pod ends whatever becomes of us."""
    argv = [sys.executable, "-c", SEARCH, str(number)]
    async with await aio.launch(argv, name=f"search-{number}", on_exit="stop") as pod:
        await pod.wait()
        return await pod.logs()


async def main() -> None:
    tasks = [asyncio.ensure_future(search(number)) for number in (90, 1, 80)]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    print(*(task.result() for task in done), end="")
    print("left:", await aio.pods())


asyncio.run(main())
