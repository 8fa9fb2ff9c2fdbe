"""Records for what every start loads: what a dataclass is, without what that takes.

`dataclasses` loads inspect, ast, dis and tokenize, and compiles the methods of each class: that was
a fourth of what `zaptrace run -- true` cost (bench/experiments/start.py). Where nobody waits for a start, a
dataclass is right.

    class Job(Record):
        verb: str                                  given by name, or in this order
        image: str | None = None
        argv: list[str] = field(factory=list)      made anew for each
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_):
        """For type checkers: what a class of this kind takes is said by its annotations."""
        return lambda cls: cls


class _Made:
    """A default that is made anew for each record."""

    def __init__(self, factory: Callable[[], object]) -> None:
        self.factory = factory


def field(*, factory: Callable[[], T]) -> T:
    """The default of a field: what `factory()` returns."""
    made: Any = _Made(factory)
    default: T = made
    return default


@dataclass_transform(field_specifiers=(field,))
class Record:
    """A class whose annotations are its fields."""

    fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        cls.fields = tuple(cls.__annotations__)

    if not TYPE_CHECKING:

        def __init__(self, *values, **named):
            if len(values) > len(self.fields):
                raise TypeError(f"{type(self).__name__} has {len(self.fields)} fields")
            named.update(zip(self.fields, values, strict=False))
            for name in self.fields:
                if name not in named:
                    if not hasattr(type(self), name):
                        raise TypeError(f"{type(self).__name__} needs {name}")
                    default = getattr(type(self), name)
                    named[name] = default.factory() if isinstance(default, _Made) else default
            if len(named) > len(self.fields):
                raise TypeError(f"{type(self).__name__} has no {set(named) - set(self.fields)}")
            self.__dict__.update(named)

    def but(self, **changed: object) -> Self:
        """The same with some fields changed."""
        return type(self)(**{**vars(self), **changed})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"
