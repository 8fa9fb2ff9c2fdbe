"""What a terminal shows after the bytes that were written to it, and how to have another one show it.

    sequences.py  bytes, taken apart: text, controls, escape sequences
    modes.py      what is turned on; quick enough to follow all that a pod ever writes
    pen.py        colours and attributes
    grid.py       lines of cells
    emulator.py   the whole screen; for a bounded past, when somebody wants to see it
    questions.py  what only one of several terminals is to answer
    drawing.py    the bytes that draw it on another terminal, with no question among them

Nothing here knows of pods. What comes in is whatever a program writes, so nothing is believed:
sizes and counts are cut, and each byte is looked at a bounded number of times.
"""
