"""Pickles read as data: no name in them is looked up, and nothing is called but a given table of functions.

The opcodes are those of protocols 0 to 5, as Python's `pickletools` documents them. What `pickle` makes of them is
arbitrary code by design; here a class that a file names is a `Name`, its objects are a `Record`, and a call of anything
outside the table is refused.
"""

import dataclasses
import itertools
import pickletools
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from ecg_jax.errors import InputError
from ecg_jax.printable import make_printable

MOST_COPIED = 1 << 21  # items of tuples, lists and text that calls are given
MOST_OPCODES = 1 << 20  # a checkpoint of 600 tensors with its optimizer has 65,000
_DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))

Calls = Mapping[tuple[str, str], Callable[..., Any]]


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A class or a function that a file names."""

    module: str
    name: str

    def __str__(self) -> str:
        return make_printable(f"{self.module[:80]}.{self.name[:80]}").replace("\n", "?")


@dataclasses.dataclass(eq=False, slots=True)
class Record:
    """An object of a class that is not known here.

    Attributes:
        name: Of its class, or of the function that would make it.
        arguments: What it would be created from.
        state: Usually the dict of its attributes; None if absent.
        entries: What it holds as a mapping.
        elements: What it holds as a sequence or a set.
    """

    name: str
    arguments: tuple = ()
    state: Any = None
    entries: dict = dataclasses.field(default_factory=dict)
    elements: list = dataclasses.field(default_factory=list)


def unpickle(source: Any, calls: Calls, load: Callable[[Any], Any]) -> Any:
    """Reads one pickle and nothing after it.

    Args:
        source: A binary file (`read` and `readline`), or bytes.
        calls: By module and name, the functions that may be called.
        load: Makes an object of a persistent id.

    Raises:
        InputError: when it is damaged, longer than `MOST_OPCODES`, or calls something else.
    """
    machine = _Machine(calls, load)
    try:
        for opcode, argument, _ in itertools.islice(pickletools.genops(source), MOST_OPCODES):
            if opcode.name == "STOP":
                return machine.pop()
            if opcode.name in _CONSTANTS:
                machine.stack.append(argument)
            elif opcode.name in _OPCODES:
                _OPCODES[opcode.name](machine, argument)
            else:
                raise InputError(f"its pickle has the opcode {opcode.name}, which weights do not need")
    except InputError:
        raise
    except (*_DAMAGE, struct.error) as error:
        reason = make_printable(" ".join(str(error).split()))[:100]
        raise InputError(f"its pickle is damaged ({type(error).__name__}: {reason})") from error
    raise InputError(f"its pickle has more than {MOST_OPCODES} opcodes; save the weights alone")


def make_key(value: Any) -> Any:
    """A key of a dict or an element of a set: text or a number, or else a `Record` that equals only itself.

    Hashing a nested tuple can take forever, and long integers can be chosen to have the same hash.
    """
    if type(value) in _PLAIN and (type(value) is not int or value.bit_length() <= 64):
        return value
    return Record("key", (value,))


def make_dict(pairs: Iterable[Any]) -> dict:
    """A dict of keys that may be anything, and values."""
    return {make_key(key): value for key, value in pairs}


def make_set(elements: Iterable[Any]) -> set:
    """A set of elements that may be anything."""
    return {make_key(element) for element in elements}


def check_items(items: Any) -> tuple | list:
    """Items to go through: not those of a tensor, which can have any number of them in a few bytes.

    Raises:
        TypeError: when they are no tuple or list.
    """
    if not isinstance(items, tuple | list):
        raise TypeError(f"a {type(items).__name__} in place of a tuple")
    return items


class _Machine:
    """What a pickle is a program of: a stack, cut by marks, and a memo."""

    def __init__(self, calls: Calls, load: Callable[[Any], Any]) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stack under each mark
        self.memo: dict[int, Any] = {}
        self.calls, self.load = calls, load
        self.copied = 0  # items of what calls were given

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_tuple(self, count: int) -> tuple:
        return tuple([self.stack.pop() for _ in range(count)][::-1])

    def push_mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """All that is above the last mark."""
        above, self.stack = self.stack, self.below.pop()
        return above

    def drop(self) -> None:
        self.stack.pop() if self.stack else self.pop_mark()

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def count_copies(self, arguments: Any) -> None:
        """A few bytes can have something long copied again and again."""
        self.copied += sum(
            len(each) for each in (arguments, *arguments) if isinstance(each, tuple | list | str | bytes)
        )
        if self.copied > MOST_COPIED:
            raise InputError(f"its pickle calls functions with more than {MOST_COPIED} items; save the weights alone")

    def call(self) -> None:
        name, arguments = self.pop_tuple(2)
        function = self.calls.get((_check_name(name).module, name.name))
        self.count_copies(check_items(arguments))
        self.push(function(*check_items(arguments)) if function else _refuse(name))

    def create(self, has_keywords: bool) -> None:
        name, *arguments = self.pop_tuple(3 if has_keywords else 2)
        class_ = str(_check_name(name))
        self.count_copies(check_items(arguments[0]))
        self.push(Record(class_, (*arguments[0], *arguments[1:])))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # the attributes of a dict are no weights
            raise TypeError(f"state of a {type(target).__name__}")

    def insert(self, items: list[Any]) -> None:
        target = self.stack[-1]
        target = target.entries if isinstance(target, Record) else target
        if not isinstance(target, dict):
            raise TypeError(f"entries of a {type(target).__name__}")
        target |= make_dict(zip(items[::2], items[1::2], strict=True))

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.insert(items)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        target = target.elements if isinstance(target, Record) else target
        if isinstance(target, set):
            target |= make_set(items)
        elif isinstance(target, list):
            target += items
        else:
            raise TypeError(f"elements of a {type(target).__name__}")


def _refuse(name: Any) -> NoReturn:
    raise InputError(
        f"it calls {_check_name(name)}, which weights do not need and which may run any code; if you trust the file, "
        "load it with PyTorch and save the weights alone: torch.save(model.state_dict(), FILE)"
    )


def _check_name(value: Any) -> Name:
    if not isinstance(value, Name):
        raise TypeError(f"a {type(value).__name__} in place of a class or function")
    return value


def _make_name(module: Any, name: Any) -> Name:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise TypeError("a class or function whose name is not text")
    return Name(module, name)


_CONSTANTS = {  # which push their argument
    opcode.name
    for opcode in pickletools.opcodes
    if opcode.arg and opcode.stack_after and opcode.stack_after[0] is not pickletools.anyobject
}
_OPCODES: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_tuple(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_tuple(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_tuple(3)),
    "MARK": lambda machine, _: machine.push_mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "FROZENSET": lambda machine, _: machine.push(frozenset(make_set(machine.pop_mark()))),
    "DICT": lambda machine, _: machine.make_dict(),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.insert([*machine.pop_tuple(2)]),
    "SETITEMS": lambda machine, _: machine.insert(machine.pop_mark()),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.pop_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), lambda machine, index: machine.remember(index)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "GLOBAL": lambda machine, text: machine.push(_make_name(*text.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push(_make_name(*machine.pop_tuple(2))),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.create(has_keywords=False),
    "NEWOBJ_EX": lambda machine, _: machine.create(has_keywords=True),
    "INST": lambda machine, text: _refuse(_make_name(*text.split(" ", 1))),
    "OBJ": lambda machine, _: _refuse(machine.pop_mark()[0]),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.push(machine.load(machine.pop())),
}
