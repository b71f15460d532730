"""Segments that are small rather than quick to write: shards of compressed chunks.

The arrays, their names and the checksum over their contents are those of any segment, so whatever
reads one reads these, and plain Zarr does.
"""

from pathlib import Path

import numpy as np

from porl_ros.replay.disk.arrays import write_group
from porl_ros.replay.disk.layout import ATTRIBUTE
from porl_ros.replay.disk.segment import SegmentInfo, columns
from porl_ros.replay.schema import Records, RunIdentity

CHUNK_ROWS = 16_384  # that others read at once; enough to compress well


def write_compact(path: Path, identity: RunIdentity, records: Records) -> None:
    """The group and arrays of a segment, each array one shard. Raises OSError."""
    import zarr  # here: half a second
    from zarr.codecs import BloscCodec, Crc32cCodec

    info = SegmentInfo.of(identity, records)
    write_group(path, {ATTRIBUTE: info.model_dump(mode="json")})
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    for spec, part, field in columns(identity.schema, info.rows, info.finals):
        values = np.ascontiguousarray(getattr(records, part)[field])
        chunk = max(1, min(len(values), CHUNK_ROWS))
        shard = -(-max(1, len(values)) // chunk) * chunk
        group.create_array(
            spec.name,
            data=values,
            chunks=(chunk, *values.shape[1:]),
            shards=(shard, *values.shape[1:]),
            filters=None,
            compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()],
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=spec.axes,
            attributes=spec.attributes,
        )
