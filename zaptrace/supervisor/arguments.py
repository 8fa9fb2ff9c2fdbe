"""What clients say with a request, looked at: types first, by the annotations of the verb, then values.

Whatever passes, a verb may use; what goes wrong from there on is our own fault.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import PodError
from .control_socket import Request

_LONGEST_GRACE_S = 7 * 24 * 3600
_PATH_MAX = 4096
_NOT_ARGUMENTS = ("v", "id", "verb", "self", "request")


def checked(handler: Callable[..., None], request: Request) -> dict[str, Any]:
    """The arguments of a request, if they are such as the verb takes. Raises PodError."""
    arguments = {str(k): v for k, v in request.args.items() if k not in _NOT_ARGUMENTS}
    hints = get_type_hints(handler)
    known = inspect.signature(handler).parameters
    given = [name for name in arguments if name in known]
    wrong = [f"{n}: {arguments[n]!r}" for n in given if not _is_a(arguments[n], hints[n])]
    wrong += [
        f"no {name}"
        for name, parameter in known.items()
        if name != "request"
        and parameter.kind is not parameter.VAR_KEYWORD
        and parameter.default is parameter.empty
        and name not in arguments
    ]
    if wrong:
        raise _bad(request, ", ".join(wrong))
    for name in given:
        needed, fits = _VALUES.get(name, ("", _any))
        if not fits(arguments[name]):
            raise _bad(request, f"{name}: {arguments[name]!r}", f"{name}: {needed}")
    return arguments


def _bad(request: Request, found: str, needed: str | None = None) -> PodError:
    return PodError(
        f"bad arguments for {request.verb!r}", needed=needed, found=found[:200], changed="nothing"
    )


def _is_a(value: Any, hint: Any) -> bool:
    """Is it of the type of an annotation: a class, a union of them, dict[...], Any?"""
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_is_a(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, get_origin(hint) or hint)


def _any(value: Any) -> bool:
    return True


def _is_name(value: Any) -> bool:
    """Of a file, a host, a pod."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        return 0 < len(os.fsencode(value)) < _PATH_MAX
    except UnicodeEncodeError:  # what a file system here cannot name
        return False


def _is_codec(value: Any) -> bool:
    from ..image.manifest import CODECS  # with all that images take

    return value in CODECS


_OPTIONS: dict[str, Callable[[Any], bool]] = {
    "config": _is_name,
    "key": _is_name,
    "name": _is_name,
    "codec": _is_codec,
    "outside": lambda value: value in ("refuse", "close"),
}


def _are_options(value: dict[str, Any] | None) -> bool:
    return all(one is None or _OPTIONS.get(name, _any)(one) for name, one in (value or {}).items())


_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "to": (f"a path or an endpoint, less than {_PATH_MAX} bytes without NUL", _is_name),
    "then": ("resume or stop", lambda value: value in ("resume", "stop")),
    "outside": ("refuse or close", _OPTIONS["outside"]),
    "codec": ("lz4, zstd or none", _is_codec),
    "grace": (
        f"seconds, 0 to {_LONGEST_GRACE_S}",
        lambda value: 0 <= value <= _LONGEST_GRACE_S,
    ),
    "options": (f"such values of {', '.join(_OPTIONS)}", _are_options),
}
