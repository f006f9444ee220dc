"""Reads PyTorch .pth files (zip archives, torch >= 1.6) into numpy arrays without torch and without executing them."""

import collections
import pickle
import zipfile

import numpy as np

_DTYPES = {
    "DoubleStorage": np.float64, "FloatStorage": np.float32, "HalfStorage": np.float16, "BFloat16Storage": "bf16",
    "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16, "CharStorage": np.int8,
    "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}


def _rebuild_tensor(storage, offset, size, stride, *_ignored):
    item = storage.itemsize
    return np.lib.stride_tricks.as_strided(storage[offset:], size, [s * item for s in stride])


def _rebuild_parameter(tensor, *_ignored):
    return tensor


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a state dict needs and refuses every other."""

    def __init__(self, file, archive, prefix):
        super().__init__(file)
        self._archive, self._prefix, self._storages = archive, prefix, {}

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"refused: the file wants {module}.{name}")

    def persistent_load(self, pid):
        kind, storage_type, key, _location, count = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown persistent id {pid!r}")
        if key not in self._storages:
            raw = self._archive.read(f"{self._prefix}/data/{key}")
            dtype = _DTYPES[storage_type]
            if dtype == "bf16":  # the upper half of an f32
                values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(raw, dtype)
            self._storages[key] = values[:count]
        return self._storages[key]


def read_pth(path):
    """{name: array}.  Stored bf16 comes as f32 (exact), every other type as it is."""
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{path}: {len(pickles)} entries named data.pkl, there must be one")
        with archive.open(pickles[0]) as file:
            tensors = _Unpickler(file, archive, pickles[0][: -len("/data.pkl")]).load()
    for outer in ("state_dict", "model"):
        if isinstance(tensors.get(outer), dict):
            tensors = tensors[outer]
    return {name: value for name, value in tensors.items() if isinstance(value, np.ndarray)}
