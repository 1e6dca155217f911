"""The prepared store: recordings in int16 microvolts, written once, read by memory map.

A store is a folder:

    store.json        version, contract, data set, shards with their checksums
    shards/NAME.bin   recordings one after the other, `[samples, leads]` int16, little endian
    shards/NAME.json  what is known of each of them, and which were left out, and why
    index-*/          one array per column (ids, places, labels, patients, flags, ...)
    measured/         intervals and voltages by shard, where they were asked for; together, a column of the index
    settings.json     how it is being prepared
    problems.csv      every recording that was left out, and why
    report.html       the quality report

Leads, sampling rate and filters are those of the contract it was written for; each
recording keeps its own length. Unit, normalization, crop and padding belong to reading.
"""

from ecg_jax.data.store.shards import INVALID, SHARDS, STEPS_PER_MILLIVOLT, quantize
from ecg_jax.data.store.store import (
    MANIFEST,
    PROBLEMS,
    VERSION,
    Store,
    check_contract,
    find_index_damage,
    hold,
    is_store,
    read_manifest,
)

__all__ = [
    "INVALID",
    "MANIFEST",
    "PROBLEMS",
    "SHARDS",
    "STEPS_PER_MILLIVOLT",
    "VERSION",
    "Store",
    "check_contract",
    "find_index_damage",
    "hold",
    "is_store",
    "quantize",
    "read_manifest",
]
