"""Weights of PyTorch and safetensors files: what is read, what is refused, and that nothing in them runs.

PyTorch is not needed: the files are written here opcode by opcode (`Pickled`), in both of its containers.
"""

import collections
import json
import pickle
import resource
import struct
import time
import zipfile

import fuzz
import ml_dtypes
import numpy as np
import pytest

from ecg_jax.errors import InputError
from ecg_jax.models.imports import torch_files
from ecg_jax.models.imports.torch_pickle import Record, unpickle

MAGIC = 0x1950A86A20F9469CFC6C
NETWORKS = ["chagas_inception", "ecg_age", "ecg_fm", "ecgfounder", "ecgfounder_1lead", "xresnet1d101"]
STORAGES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char"}
STORAGES |= {"u1": "Byte", "b1": "Bool", "c8": "ComplexFloat", "c16": "ComplexDouble"}


# Writing: an object is made by opcodes, tensors are `Tensor`, and `Raw` stands for opcodes as they are.


class Raw(bytes):
    """Opcodes that leave one object on the stack."""


class Tensor:
    """A view of an array, which is its storage."""

    def __init__(self, storage, shape=None, strides=None, offset=0, key="0", kind=None):
        self.storage, self.key, self.offset = np.asarray(storage), key, offset
        self.shape = self.storage.shape if shape is None else shape
        self.strides = strides
        if strides is None:
            self.strides = [int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape))]
        self.kind = kind or STORAGES[self.storage.dtype.str[1:]] + "Storage"


def name(module, attribute):
    return Raw(f"c{module}\n{attribute}\n".encode())


def call(function, *arguments):
    return Raw(function + write(arguments) + b"R")


def create(class_, state):
    return Raw(class_ + b")\x81" + write(state) + b"b")


def write(value, is_old=False):
    """Opcodes of protocol 2 for an object."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Tensor):
        key = ("storage", name("torch", value.kind), value.key, "cuda:0", value.storage.size)
        storage = Raw(write((*key, *([None] if is_old else []))) + b"Q")
        shape = (storage, value.offset, tuple(value.shape), tuple(value.strides), False, {})
        return bytes(call(name("torch._utils", "_rebuild_tensor_v2"), *shape))
    if isinstance(value, dict):
        start = b"ccollections\nOrderedDict\n)R" if isinstance(value, collections.OrderedDict) else b"}"
        pairs = b"".join(write(key, is_old) + write(item, is_old) for key, item in value.items())
        return start + b"(" + pairs + b"u"
    if isinstance(value, tuple | list):
        start, end = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
        return start + b"".join(write(each, is_old) for each in value) + end
    return pickle.dumps(value, 2)[2:-1]


def list_tensors(value):
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [tensor for each in values for tensor in list_tensors(each)]


def write_zip(path, value, tensors=None, root="any name", compression=zipfile.ZIP_STORED, **members):
    """A file since PyTorch 1.6; storages are those of the tensors in the value, or of others."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", b"\x80\x02" + write(value) + b".")
        stored = {tensor.key: tensor.storage.tobytes() for tensor in (tensors or list_tensors(value))}
        for key, data in stored.items():
            archive.writestr(f"{root}/data/{key}", data)
        for key, data in members.items():
            archive.writestr(f"{root}/{key}", data)
    return str(path)


def write_legacy(path, value, tensors=None, is_little=True):
    """A file before PyTorch 1.6."""
    system = {"protocol_version": 1001, "little_endian": is_little, "type_sizes": {}}
    stored = {tensor.key: tensor.storage for tensor in (tensors or list_tensors(value))}
    pickles = [MAGIC, 1001, system, value, sorted(stored)]
    data = b"".join(b"\x80\x02" + write(each, is_old=True) + b"." for each in pickles)
    data += b"".join(struct.pack("<q", stored[key].size) + stored[key].tobytes() for key in sorted(stored))
    path.write_bytes(data)
    return str(path)


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, (kind, shape, content) in tensors.items():
        header[key] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return str(path)


def read_bytes(file):
    with open(file, "rb") as opened:
        return opened.read()


CONTAINERS = pytest.mark.parametrize("write_file", [write_zip, write_legacy])


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a file that runs code would leave its traces
    return tmp_path / "weights.pt"


def refuse(path, match):
    with pytest.raises(InputError, match=match) as caught:
        torch_files.load_weights(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(path)


# Tensors


@CONTAINERS
@pytest.mark.parametrize("dtype", [*STORAGES])
def test_every_type_of_number(path, write_file, dtype):
    values = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    found = torch_files.load_weights(write_file(path, {"a.weight": Tensor(values), "step": 3}))
    assert [*found] == ["a.weight"]
    assert found["a.weight"].dtype == values.dtype
    np.testing.assert_array_equal(found["a.weight"], values)


@CONTAINERS
def test_bfloat16_is_exact_in_float32(path, write_file):
    values = np.array([1.0, -2.5, 3e38], ml_dtypes.bfloat16)
    file = write_file(path, {"a": Tensor(values, kind="BFloat16Storage")})
    assert torch_files.read(file)["a"].dtype == ml_dtypes.bfloat16
    found = torch_files.load_weights(file)["a"]
    assert found.dtype == np.float32
    assert found.tolist() == values.astype("f4").tolist()


@CONTAINERS
def test_views_of_one_storage(path, write_file):
    row = np.arange(12, dtype="f4")
    views = {
        "transposed": Tensor(row, (3, 4), (1, 3)),
        "sliced": Tensor(row, (2, 2), (4, 2), offset=5),
        "expanded": Tensor(row, (3, 2), (0, 1), offset=10),
        "scalar": Tensor(row, (), (), offset=7),
        "empty": Tensor(row, (0, 5), (5, 1)),
    }
    found = torch_files.load_weights(write_file(path, views))
    assert found["transposed"].tolist() == row.reshape(4, 3).T.tolist()
    assert found["sliced"].tolist() == [[5, 7], [9, 11]]
    assert found["expanded"].tolist() == [[10, 11]] * 3
    assert found["scalar"] == 7
    assert found["scalar"].shape == ()
    assert found["empty"].shape == (0, 5)
    assert np.shares_memory(found["transposed"], found["sliced"])
    assert not found["sliced"].flags.writeable


@CONTAINERS
@pytest.mark.parametrize(
    "shape, strides, offset",
    [
        ((13,), (1,), 0),
        ((3, 4), (4, 2), 0),
        ((12,), (1,), 1),
        ((-1,), (1,), 0),
        ((2,), (-1,), 0),
        ((1,), (1,), -1),
        ((1,), (1,), 1 << 80),
        ((1 << 62, 8), (0, 0), 0),
        (("a",), (1,), 0),
        ((1,) * 70, (1,) * 70, 0),
        ((2,), (), 0),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(path, write_file, shape, strides, offset):
    tensor = Tensor(np.arange(12, dtype="f4"), shape, strides, offset)
    refuse(write_file(path, {"a": tensor}), "a tensor whose shape, strides or offset its storage does not have")


def test_parameters_and_newer_tensors(path):
    data = Tensor(np.arange(3, dtype="u2"), kind="UntypedStorage")
    data.storage = data.storage.view("u1")
    storage = Raw(write(("storage", name("torch.storage", "UntypedStorage"), "0", "cpu", 6)) + b"Q")
    typed = call(name("torch._utils", "_rebuild_tensor_v3"), storage, 1, (2,), (1,), False, {}, name("torch", "uint16"))
    subclass = call(
        name("torch._tensor", "_rebuild_from_type_v2"),
        name("torch._utils", "_rebuild_tensor_v3"),
        name("torch", "Tensor"),
        (storage, 0, (1,), (1,), False, {}, name("torch", "uint16")),
        {},
    )
    parameter = call(name("torch._utils", "_rebuild_parameter"), typed, True, {})
    found = torch_files.load_weights(write_zip(path, {"a": parameter, "b": subclass}, [data]))
    assert found["a"].tolist() == [1, 2]
    assert found["b"].tolist() == [0]
    assert found["a"].dtype == np.uint16
    odd = call(name("torch._utils", "_rebuild_tensor_v3"), storage, 1, (2,), (1,), False, {}, name("torch", "qint8"))
    refuse(write_zip(path, {"a": odd}, [data]), r"tensors of torch\.qint8; types that are read: bfloat16, bool")
    refuse(write_zip(path, {"a": Tensor(np.zeros(1, "i1"), kind="QInt8Storage")}), r"it has a torch\.QInt8Storage;")


def test_a_part_of_a_storage_in_an_old_file(path):
    values = Tensor(np.arange(6, dtype="f4"))
    storage = Raw(write(("storage", name("torch", "FloatStorage"), "0", "cpu", 6, ("7", 2, 3))) + b"Q")
    part = call(name("torch._utils", "_rebuild_tensor"), storage, 1, (2,), (1,))
    assert torch_files.load_weights(write_legacy(path, {"a": part}, [values]))["a"].tolist() == [3, 4]


# Everything else


def test_objects_beside_the_tensors(path):
    held = {
        "best": Raw(
            name("numpy._core.multiarray", "scalar")
            + b"("
            + call(name("numpy", "dtype"), "f8", False, True)
            + b"(K\x03X\1\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
            + call(name("_codecs", "encode"), np.float64(0.5).tobytes().decode("latin-1"), "latin1")
            + b"tR"
        ),
        "config": create(name("nowhere.config", "Config"), {"rate": 500}),
        "seen": call(name("__builtin__", "set"), [1, "b"]),
        "path": call(name("pathlib", "PosixPath"), "/", "tmp"),
        140735340597312: 2**70,
        "weights": Raw(write(collections.OrderedDict(a=Tensor(np.ones(2, "f4")))) + b"}X\x09\0\0\0_metadata}sb"),
    }
    found = torch_files.read(write_zip(path, held, [Tensor(np.ones(2, "f4"))]))
    assert found["best"] == 0.5
    assert isinstance(found["best"], np.float64)
    assert found[140735340597312] == 2**70
    assert found["config"].name == "nowhere.config.Config"
    assert found["config"].state == {"rate": 500}
    assert found["seen"] == {1, "b"}
    assert found["weights"]["a"].tolist() == [1, 1]
    assert found["path"].name == "pathlib.PosixPath"
    assert found["path"].arguments == ("/", "tmp")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_objects_of_every_protocol(protocol):
    value = {"a": [1, -1, 2**40, 2**70, 0.5, True, None], "é": ("x", (), (1, 2), (1, 2, 3, 4)), 1: {}, "s": "a\nb"}
    same = [value, value["a"]]
    found = unpickle(pickle.dumps(same, protocol), {}, lambda id: id)
    assert found == same
    assert found[0]["a"] is found[1]
    if protocol >= 4:
        held = [b"bytes", {1, 2}, frozenset([3])]
        assert unpickle(pickle.dumps(held, protocol), {}, lambda id: id) == held


def test_containers_of_unknown_classes_keep_what_they_hold():
    raw = b"\x80\x02" + name("x", "Dict") + b")\x81(K\x01K\x02u" + name("x", "List") + b")\x81(K\x03K\x04e\x86."
    mapping, sequence = unpickle(raw, {}, lambda id: id)
    assert mapping.entries == {1: 2}
    assert sequence.elements == [3, 4]


# Which weights


def weights_of(value, path):
    return {key: tensor.tolist() for key, tensor in torch_files.load_weights(write_zip(path, value)).items()}


def test_the_state_dict_in_what_was_saved(path):
    state = collections.OrderedDict({"a": Tensor(np.ones(1, "f4")), "b": Tensor(np.ones(1, "f4"))})
    wrong = {"a": Tensor(np.full(1, 0.125, "f4"), key="1")}
    optimizer = {"state": {0: {"exp_avg": wrong["a"]}}, "param_groups": [{"lr": wrong["a"], "params": [0]}]}
    expected = {"a": [1.0], "b": [1.0]}
    for saved in (
        state,
        {"state_dict": state, "optimizer": optimizer, "epoch": 1},
        {"model": {"state_dict": state}, "opt": optimizer, "best": wrong["a"]},
        {"net": state, "model_ema": wrong, "last_optimizer_state": wrong},
        {"classifier": state, "ema": wrong, "optimizer_state": wrong},
        (state, optimizer),
    ):
        assert weights_of(saved, path) == expected
    refuse(write_zip(path, {"G": state, "D": wrong}), r"2 sets of weights: G \(2 tensors\), D \(1 tensors\)")
    refuse(write_zip(path, {"model": state, "net": wrong}), r"2 sets of weights: model \(2 tensors\), net")
    refuse(write_zip(path, {"ema": state, "epoch": 1}), "no weights under a usual name; it has ema, epoch")
    refuse(write_zip(path, optimizer), "no weights under a usual name; it has state, param_groups")
    refuse(write_zip(path, Tensor(np.ones(1, "f4"))), "no weights with names; it is a ndarray")


@pytest.mark.parametrize(
    "names, expected",
    [
        (["module.a", "module.b"], ["a", "b"]),
        (["module._orig_mod.a", "module._orig_mod.b"], ["a", "b"]),
        (["_orig_mod.module.a.module.b"], ["a.module.b"]),
        (["module.a", "b"], ["module.a", "b"]),
    ],
)
def test_prefixes_that_all_names_have_are_removed(path, names, expected):
    tensor = Tensor(np.ones(1, "f4"))
    assert [*weights_of(dict.fromkeys(names, tensor), path)] == expected


def module(parameters=None, buffers=None, modules=None, passing=()):
    state = {"_parameters": parameters or {}, "_buffers": buffers or {}, "_modules": modules or {}, "training": False}
    state["_non_persistent_buffers_set"] = call(name("__builtin__", "set"), [*passing])
    return create(name("my.net", "Module"), state)


def test_a_whole_module(path):
    one, two = Tensor(np.ones(1, "f4")), Tensor(np.full(1, 2, "f4"), key="1")
    inner = module({"weight": two, "bias": None}, {"mean": one, "cache": one}, passing=["cache"])
    file = write_zip(path, module({"scale": one}, modules={"0": inner, "act": module()}), [one, two])
    found = torch_files.load_weights(file)
    assert {key: value.tolist() for key, value in found.items()} == {"scale": [1], "0.weight": [2], "0.mean": [1]}


# Containers


def test_what_a_file_is_tells_its_content_not_its_name(path):
    numbers = np.arange(4, dtype="f4")
    tensors = {"a": ("F32", [2, 2], numbers.tobytes()), "b": ("BF16", [1], b"\xc0\x3f"), "n": ("I64", [], bytes(8))}
    found = torch_files.load_weights(write_safetensors(path, tensors))
    assert found["a"].tolist() == [[0, 1], [2, 3]]
    assert found["b"].tolist() == [1.5]
    assert found["n"] == 0
    assert found["b"].dtype == np.float32
    assert found["n"].dtype == np.int64
    refuse(write_safetensors(path, {"a": ("F32", [9], bytes(8))}), "a damaged file of weights")
    refuse(write_safetensors(path, {"a": ("F8_E4M3", [1], bytes(1))}), "tensors of a type that is not read")


def test_other_containers_are_named(path):
    state = {"a": Tensor(np.ones(1, "f4"))}
    refuse(
        write_zip(path, state, **{"constants.pkl": b""}), r"a TorchScript program; save its weights .*torch\.jit\.load"
    )
    refuse(write_zip(path, state, byteorder=b"big"), "its numbers are big-endian")
    refuse(write_legacy(path, state, is_little=False), "its numbers are big-endian")
    assert weights_of(state, path) == {"a": [1]}  # as older ones, it has no byteorder
    assert torch_files.load_weights(write_zip(path, state, byteorder=b"little"))["a"] == [1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    refuse(str(path), "a ZIP archive, but not of PyTorch")
    path.write_bytes(bytes(257) + b"ustar" + bytes(250))
    refuse(str(path), "a tar archive, as PyTorch wrote before 0.2")
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refuse(str(path), "it begins with b'version https://git-lfs")
    path.write_bytes(b"")
    refuse(str(path), "neither a PyTorch nor a safetensors file")
    refuse(str(path.parent), "no readable file of weights")
    refuse(str(path.parent / "absent.pt"), "no readable file of weights")


def test_damage_to_stored_numbers_is_noticed_by_the_checksum(path):
    state = {"a": Tensor(np.arange(100, dtype="f4"))}
    data = read_bytes(write_zip(path, state))
    place = data.index(np.arange(100, dtype="f4").tobytes()) + 50
    path.write_bytes(data[:place] + b"\x55" + data[place + 1 :])
    refuse(str(path), "a damaged file of weights .*CRC")


# Hostile files


@CONTAINERS
@pytest.mark.parametrize(
    "raw, named",
    [
        (call(name("os", "system"), "touch PWNED"), r"os\.system"),
        (Raw(b"(S'touch PWNED'\nios\nsystem\n"), r"os\.system"),
        (Raw(b"(cos\nsystem\nX\x0b\0\0\0touch PWNEDo"), r"os\.system"),
        (Raw(b"\x8c\x02os\x8c\x06system\x93" + write(("touch PWNED",)) + b"R"), r"os\.system"),
        (
            call(name("torch._utils", "_rebuild_tensor_v2.__globals__"), 1),
            r"torch\._utils\._rebuild_tensor_v2\.__globals__",
        ),
        (call(name("collections", "OrderedDict.fromkeys"), [1]), r"collections\.OrderedDict\.fromkeys"),
        (call(name("builtins", "getattr"), {}, "keys"), r"builtins\.getattr"),
        (Raw(write("os\x1b[2J") + write("sys\ntem") + b"\x93)R"), r"os\?\[2J\.sys\?tem"),
        (call(name("torch.storage", "_load_from_bytes"), b"x"), r"torch\.storage\._load_from_bytes"),
    ],
)
def test_a_call_is_refused_by_name(path, write_file, raw, named):
    refuse(write_file(path, {"state_dict": {"a": Tensor(np.ones(1, "f4"))}, "x": raw}), f"it calls {named}")
    assert [each.name for each in path.parent.iterdir()] == ["weights.pt"]


def test_what_is_created_and_given_a_state_runs_nothing(path):
    raw = create(name("subprocess", "Popen"), {"args": "touch PWNED"})
    assert torch_files.read(write_zip(path, {"x": raw}))["x"].state == {"args": "touch PWNED"}
    for damaged in (
        b"cos\nsystem\n}b",
        b"K\x01}b",
        b"K\x01)\x81",
        b"K\x01)R",
        b"\x82\x01",
        b"\x97",
        b"Pkey\n",
        b"h\x05",
    ):
        refuse(write_zip(path, {"x": Raw(damaged)}), "its pickle (is damaged|has the opcode)")


def endless():
    """A tensor of 2**40 numbers in one."""
    return Tensor(np.ones(1, "f4"), (1 << 40,), (0,))


def copies(times=400, length=20_000):
    """A long tuple, remembered once, of which every four bytes make another set."""
    long = b"(" + b"K\x01" * length + b"t\x94"
    return Raw(long + b"0" + (name("builtins", "set") + b"h\x00\x85R0") * times + b"N")


def laughs(depth=60):
    """A tuple of two tuples of two tuples: 2**60 in memory as few."""
    return Raw(b"K\x01" + b"2\x86" * depth)


@pytest.mark.parametrize(
    "raw, match",
    [
        (Raw(name("os", "stat") + b")\x81" + write(endless()) + b"\x81"), "Record in place of a class"),
        (Raw(name("os", "stat") + write(endless()) + b"\x81"), "ndarray in place of a tuple"),
        (Raw(name("collections", "OrderedDict") + write(endless()) + b"R"), "ndarray in place of a tuple"),
        (call(name("builtins", "set"), endless()), "ndarray in place of a tuple"),
        (call(name("collections", "OrderedDict"), endless()), "ndarray in place of a tuple"),
        (call(name("torch._utils", "_rebuild_tensor_v2"), 1, 0, endless(), (1,)), "a tensor whose shape"),
        (endless(), "no weights with names"),
        ({"a": endless()}, "its weights announce 4194304 MiB; at most 16 are read"),
        ({laughs(): 1}, "it has Record"),
        (call(name("builtins", "set"), [laughs()]), "it is a set"),
        (call(call(name("numpy", "dtype"), laughs()), 1), "is damaged"),
        (Raw(b"]" * 200_000 + b"a" * 199_999), "it is a list"),
        (Raw(b"0" * 10), "is damaged"),
        (Raw(b"N0" * (1 << 20)), "more than 1048576 opcodes"),
        (copies(), "calls functions with more than 2097152 items"),
        (Raw(b"\x8e" + struct.pack("<Q", 1 << 40)), "is damaged"),
        (Raw(b"r" + b"\xff" * 4 + b"N"), "is damaged"),
        ({"x" * 2_000_000: {str(i): {} for i in range(20_000)}}, "no weights under a usual name; it has x{60};"),
        (create(name("m", "M"), Raw(b"}q\x07X\x08\0\0\0_modulesh\x07s")), "no weights with names; it is a Record"),
    ],
    ids=range(19),
)
def test_hostile_pickles_end_soon(path, raw, match):
    file = write_zip(path, raw, [endless()])
    began = time.process_time()
    refuse(file, match)
    assert time.process_time() - began < 10


def test_modules_within_modules_end_soon(path):
    inner, opcodes = module({"w": Tensor(np.ones(1, "f4"))}), b""
    for _ in range(60):  # each has the one before it twice
        state = (
            b"}(X\x08\0\0\0_modules}(X\1\0\0\0a"
            + (b"h\x01" if opcodes else bytes(inner))
            + (b"" if opcodes else b"q\x01")
        )
        opcodes += b"cm\nM\n)\x81" + state + b"X\1\0\0\0bh\x01uub" + b"q\x01" + (b"0")
    refuse(write_zip(path, Raw(opcodes + b"h\x01"), [Tensor(np.ones(1, "f4"))]), "a module of more than 65536 parts")
    itself = Raw(b"cm\nM\n)\x81q\x01}X\x08\0\0\0_modules}X\1\0\0\0ah\x01ssb")
    refuse(write_zip(path, itself), "a module of more than 65536 parts or names of over 1000")


def test_archives_that_unpack_or_overlap_are_refused(path):
    state = {"a": Tensor(np.zeros(1 << 20, "f4"))}
    refuse(write_zip(path, state, compression=zipfile.ZIP_DEFLATED), "a compressed or encrypted archive")
    data = bytearray(read_bytes(write_zip(path, state)))
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)  # the storage in the central directory
    data[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    path.write_bytes(data)
    refuse(str(path), "the files in it announce more bytes than it has")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data.pkx", b"\x80\x02}.")
    path.write_bytes(path.read_bytes().replace(b"data.pkx", b"data.pkl"))
    refuse(str(path), "names differ")
    outside = Tensor(np.ones(1, "f4"), key="../../outside")
    assert weights_of({"a": outside}, path) == {"a": [1]}  # a name in the archive, nothing else
    refuse(write_zip(path, {"a": outside}, [Tensor(np.ones(1, "f4"))]), "numbers of a tensor are missing")


def test_old_files_that_announce_too_much_or_leave_numbers_out(path):
    state = {"a": Tensor(np.ones(2, "f4"))}
    whole = read_bytes(write_legacy(path, state))
    refuse(write_legacy(path, state, [Tensor(np.ones(2, "f4"), key="1")]), "numbers of a tensor are missing")
    refuse(write_legacy(path, state, [Tensor(np.ones(3, "f4"))]), "a storage is cut off")
    path.write_bytes(whole[:-1])
    refuse(str(path), "a storage is cut off")
    huge = Raw(write(("storage", name("torch", "FloatStorage"), "0", "cpu", 1 << 40, None)) + b"Q")
    refuse(write_legacy(path, {"a": huge}, [Tensor(np.ones(1, "f4"))]), "announce more bytes than it has")
    two = {"a": Tensor(np.ones(2, "f4")), "b": Tensor(np.ones(1, "f8"))}
    refuse(write_legacy(path, two), "a storage has two sizes")


@CONTAINERS
def test_damaged_files_are_refused_or_hold_the_same_tensors(path, write_file):
    state = collections.OrderedDict(
        {f"layer{i}.weight": Tensor(np.arange(6, dtype="f4") + i, key=str(i)) for i in range(3)}
    )
    whole = read_bytes(write_file(path, {"state_dict": state, "epoch": 3}))
    numbers = {key: tensor.storage for key, tensor in state.items()}
    rng, outcomes, before = np.random.default_rng(4), set(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(400):
        path.write_bytes(fuzz.mutate(whole, rng))
        began = time.process_time()
        try:
            found = torch_files.load_weights(str(path))
            outcomes.add("read")
        except InputError as error:
            outcomes.add("refused" if len(str(error).splitlines()) == 1 else str(error))
            continue
        finally:
            assert time.process_time() - began < 1
        if write_file is write_zip:  # which has checksums
            assert all(np.array_equal(array, numbers[key]) for key, array in found.items() if key in numbers)
    assert outcomes == {"read", "refused"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 17  # KiB


# Files that PyTorch wrote


@pytest.mark.parametrize("file", ["odd_zip", "odd_legacy", "legacy_protocol4", "bare_zip"])
def test_odd_tensors_of_pytorch(shared, file):
    folder = shared / "reference" / "torch_fixtures" / "odd_tensors"
    found = torch_files.load_weights(str(folder / f"{file}.pt"))
    with np.load(folder / "expected.npz") as expected:
        assert {*found} == {*expected}
        for key in expected:
            np.testing.assert_array_equal(found[key], expected[key], strict=True)


def test_a_single_tensor_of_pytorch(shared):
    folder = shared / "reference" / "torch_fixtures" / "odd_tensors"
    expected = np.load(folder / "expected.npz")["plain"]
    np.testing.assert_array_equal(torch_files.read(str(folder / "single_tensor_zip.pt")), expected, strict=True)


@pytest.mark.parametrize(
    "file, named",
    [
        ("reduce_system", r"os\.system"),
        ("nested_global", r"torch\.serialization\.os\.system"),
        ("legacy_exec", r"__builtin__\.exec"),
        ("legacy_header", r"posix\.system"),
    ],
)
def test_files_that_pytorch_would_run(shared, path, file, named):
    refuse(str(shared / "reference" / "torch_fixtures" / "malicious" / f"{file}.pt"), f"it calls {named}")
    assert not [*path.parent.iterdir()]


@pytest.mark.parametrize("file", ["inert", "inert_legacy"])
def test_files_with_unknown_classes(shared, file):
    folder = shared / "reference" / "torch_fixtures" / "malicious"
    found, saved = (read(str(folder / f"{file}.pt")) for read in (torch_files.load_weights, torch_files.read))
    with np.load(folder / "inert_expected.npz") as expected:
        assert {*found} == {*expected}
        for key in expected:
            np.testing.assert_array_equal(found[key], expected[key], strict=True)
    config = saved["config"]
    assert isinstance(config, Record)
    assert config.state["self"] is config
    assert config.state["mode"].arguments == (2,)
    assert saved["args"].state["flags"] == {"a", "b"}
    assert saved["best"] == 0.5


@pytest.mark.parametrize("network", NETWORKS)
def test_both_containers_of_published_networks(shared, network):
    folder = shared / "reference" / "torch_fixtures" / network
    new, old = (torch_files.load_weights(str(folder / f"weights_{kind}.pt")) for kind in ("zip", "legacy"))
    renamed = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for now, then in renamed.items():  # of weight norm
        new = {key.replace(now, then): array for key, array in new.items()}
    assert {*new} == {*old}
    assert len(new) > 40
    for key, array in new.items():
        np.testing.assert_array_equal(array, old[key], strict=True)
