"""HDF5 that is looked at before it is read: kind of link, type, shape, filters and size of everything.

The HDF5 library is not made for files from strangers or torn disks: reading some types ends the process, links lead to
other files, and 2 kB can declare terabytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any, NoReturn, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.store import schema

_FILTERS = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32}
_TYPE_CLASSES = {"text": h5py.h5t.STRING, "integer": h5py.h5t.INTEGER, "float": h5py.h5t.FLOAT}
MAX_MESSAGE = 500
# Everything that h5py was seen to raise on damaged files.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, RecursionError)


class RefusalError(Exception):
    """What is wrong with a file; the path is added where it is known."""


def refuse(reason: str) -> NoReturn:
    raise RefusalError(reason)


def first_line(error: BaseException) -> str:
    """Bearably short, whatever of a file's content the error quotes."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= MAX_MESSAGE else line[:MAX_MESSAGE] + "…"


def link_names(group: h5py.Group) -> list[str]:
    count = group.id.get_num_objs()
    if count > schema.MAX_EPISODES:
        refuse(f"{group.name}: holds {count} things, more than {schema.MAX_EPISODES}")
    return list(group)


def check_names(group: h5py.Group, attributes: Collection[str], links: Collection[str], lax: bool) -> None:
    """Every attribute must be there and, in a file of this version, nothing that it does not know."""
    for name in attributes:
        if not h5py.h5a.exists(group.id, name.encode()):
            refuse(f"{group.name}: has no attribute {name}")
    if lax:
        return
    if h5py.h5a.get_num_attrs(group.id) != len(attributes):
        refuse(f"{group.name}: has other attributes besides {', '.join(attributes) or 'none'}")
    for name in link_names(group):
        if name not in links:
            refuse(f"{group.name}: holds {name!r}, which its format version does not know")


def open_link(group: h5py.Group, name: str) -> Any:
    link = group.get(name, getlink=True)
    if link is None:
        refuse(f"{group.name}: has no {name}")
    if not isinstance(link, h5py.HardLink):
        refuse(f"{group.name}: {name} is a link to elsewhere")
    return group[name]


def open_group(parent: h5py.Group, name: str) -> h5py.Group:
    group = open_link(parent, name)
    if not isinstance(group, h5py.Group):
        refuse(f"{parent.name}: {name} is not a group")
    return group


def open_column(group: h5py.Group, name: str, column: schema.Column) -> h5py.Dataset:
    """A dataset of which everything has been checked that can be without reading it."""
    if name not in link_names(group):
        refuse(f"{group.name}: has no {name}")
    dataset = open_link(group, name)
    where = f"{group.name}/{name}"
    if not isinstance(dataset, h5py.Dataset):
        refuse(f"{where}: is not a dataset")
    check_type(dataset.id.get_type(), column, where)
    space = dataset.id.get_space()
    rank = space.get_simple_extent_ndims()
    if space.get_simple_extent_type() != h5py.h5s.SIMPLE or not 1 <= rank <= schema.MAX_RANK:
        refuse(f"{where}: has {rank} axes")
    if column.rank not in (None, rank):
        refuse(f"{where}: has {rank} axes instead of {column.rank}")
    creation = dataset.id.get_create_plist()
    if creation.get_layout() != h5py.h5d.CHUNKED:
        refuse(f"{where}: is not stored in chunks of this file")
    if any(creation.get_filter(index)[0] not in _FILTERS for index in range(creation.get_nfilters())):
        refuse(f"{where}: uses another filter than shuffle, gzip and fletcher32")
    item_bytes = dataset.id.get_type().get_size()
    declared = math.prod(space.get_simple_extent_dims()) * item_bytes
    if declared == 0:
        refuse(f"{where}: is empty")
    if declared > min(schema.MAX_DATASET_BYTES, schema.MAX_EXPANSION * dataset.id.get_storage_size()):
        refuse(f"{where}: declares {declared:,} bytes, more than it can hold")
    if math.prod(creation.get_chunk()) * item_bytes > schema.MAX_CHUNK_BYTES:
        refuse(f"{where}: has chunks larger than {schema.MAX_CHUNK_BYTES:,} bytes")
    return dataset


def check_type(type_id: Any, column: schema.Column, where: str) -> None:
    kind = type_id.get_class()
    if column.dtype == np.bool_:
        # HDF5 has no booleans; h5py writes them as an enumeration.
        good = kind == h5py.h5t.ENUM and type_id.get_nmembers() == 2 and type_id.get_size() == 1
        if not good or (type_id.enum_valueof(b"FALSE"), type_id.enum_valueof(b"TRUE")) != (0, 1):
            refuse(f"{where}: does not hold booleans")
        return
    if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT) or type_id.get_size() > 8:
        refuse(f"{where}: does not hold plain numbers")
    if column.dtype is not None and type_id.dtype != column.dtype:
        refuse(f"{where}: holds {type_id.dtype} instead of {column.dtype}")


def read_column(group: h5py.Group, name: str, column: schema.Column) -> NDArray[Any]:
    """A whole dataset."""
    dataset = open_column(group, name, column)
    values = read_rows(dataset, 0, len(dataset))
    if column.dtype == np.bool_ and values.view(np.uint8).max() > 1:
        refuse(f"{group.name}/{name}: does not hold booleans")
    return values


def read_any_column(group: h5py.Group, name: str, kinds: str) -> NDArray[Any]:
    """A whole one-dimensional dataset of numbers that another program wrote, of any type of these numpy kinds."""
    dataset = open_column(group, name, schema.Column(None))
    if dataset.dtype.kind not in kinds:
        refuse(f"{group.name}/{name}: holds {dataset.dtype}")
    if math.prod(dataset.shape) * dataset.dtype.itemsize > schema.FREE_BYTES:
        refuse(f"{group.name}/{name}: is larger than {schema.FREE_BYTES:,} bytes")
    return read_rows(dataset, 0, len(dataset))


def read_rows(dataset: h5py.Dataset, begin: int, end: int) -> NDArray[Any]:
    """Rows of a dataset from ``open_column``; only the chunks that hold them are read."""
    try:
        values: NDArray[Any] = dataset[begin:end]
    except DAMAGE as error:
        raise RefusalError(f"{dataset.name}: cannot be read, the file is damaged: {first_line(error)}") from error
    return values


def read_attribute(group: h5py.Group, name: str, kind: schema.Kind) -> Any:
    attribute = h5py.h5a.open(group.id, name.encode())
    type_id = attribute.get_type()
    where = f"{group.name}: attribute {name}"
    if type_id.get_class() != _TYPE_CLASSES[kind] or (kind == "text" and type_id.is_variable_str()):
        refuse(f"{where} has another type than {kind} of fixed size")
    if attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        refuse(f"{where} is not a single value")
    if type_id.get_size() > (schema.MAX_TEXT_BYTES if kind == "text" else 8):
        refuse(f"{where} has {type_id.get_size()} bytes")
    value = np.zeros((), type_id.dtype)
    attribute.read(value)
    if kind == "text":
        return cast(bytes, value[()]).decode()
    return int(value) if kind == "integer" else float(value)


def read_text(file: h5py.File, name: str) -> str:
    return cast(str, read_attribute(file, name, "text"))


def read_json(file: h5py.File, name: str) -> dict[str, Any]:
    def refuse_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(read_text(file, name), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"attribute {name} is not strict JSON: {error}") from error
    if not isinstance(value, dict):
        refuse(f"attribute {name} is not a JSON object")
    return value
