"""The verbs, and the help that lists them."""

from __future__ import annotations

VERBS = {
    "run": "start a command in a new pod",
    "ps": "list the pods, or the processes of one",
    "exec": "start a command in a pod that runs",
    "attach": "come back to the terminal of a pod",
    "logs": "print what a detached pod wrote",
    "wait": "wait until pods have ended, and tell how",
    "freeze": "stop every process of a pod where it is",
    "thaw": "let a frozen pod go on",
    "checkpoint": "write a pod to an image",
    "restore": "make a pod from an image",
    "migrate": "move a running pod to another host",
    "serve": "accept pods from other hosts",
    "keys": "show our key, and say whom to trust",
    "show": "print what is in an image",
    "check": "can this host, pod or image do it?",
    "signal": "send a signal into a pod",
    "stop": "end a pod",
    "prune": "remove what is left of pods that ended, and old images of a job",
    "demo": "watch a pod move between two host servers",
    "help": "what is refused, and what works instead",
    "completion": "print the shell's completion script",
}
"""Kept here so that `zaptrace --help` loads no verb."""

STATUSES = {
    "0": "done",
    "1": "no (of check), or something else went wrong",
    "2": "wrong usage",
    "3": "there is no such pod",
    "4": "refused: the pod holds, or needs, what cannot be carried",
    "5": "this host cannot do it",
    "6": "the other host does not answer, or does not want to",
    "7": "there is no such image, or none can be made there",
    "8": "the image is damaged, or of another format",
    "130": "given up, by ctrl-c or by somebody else",
}
"""What each verb but run and restore ends with; theirs is that of the program (zaptrace run --help)."""

_WIDTH = max(map(len, VERBS))
HELP = (
    """\
Usage: zaptrace [OPTIONS] VERB [ARGS]...

  Run, checkpoint, restore and migrate ordinary Linux processes, as an
  ordinary user.

  zaptrace run --name web -d -- python3 -m http.server
  zaptrace checkpoint web --to web.zap --stop
  zaptrace restore web.zap -d
  zaptrace migrate web tcp://other-host:7077

Options:
  -q, --quiet      No remarks, only results and errors.
  -v, --verbose    Say what is done, on stderr.
  --log-file FILE  Supervisors that we start, and we, log there as well.
  --version        Show the version and exit.
  -h, --help       Show this message and exit.

Verbs:
"""
    + "".join(f"  {verb:<{_WIDTH}}  {does}\n" for verb, does in VERBS.items())
    + "\nExit status:\n"
    + "".join(f"  {status:<{_WIDTH}}  {means}\n" for status, means in STATUSES.items())
    + """
  zaptrace VERB --help has examples."""
)
