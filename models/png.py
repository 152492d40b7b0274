"""PNG files chunk by chunk, for sound ones that Pillow refuses."""

from collections.abc import Collection

MAGIC = b"\x89PNG\r\n\x1a\n"
TEXT, PROFILE = frozenset({b"tEXt", b"zTXt", b"iTXt"}), b"iCCP"


def without_text(data: bytes, keep: Collection[str] = ()) -> bytes:
    """The file without its colour profile and its texts, except those with these keywords.

    Pillow refuses a sound picture with more than a megabyte of compressed text or profile, such as a workflow. A file
    that is no PNG is returned unchanged.
    """
    if not data.startswith(MAGIC):
        return data
    kept, wanted, at = [MAGIC], {word.encode("latin-1") for word in keep}, len(MAGIC)
    while at + 12 <= len(data):  # length, kind, content, checksum
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        word = data[at + 8 : at + 88].partition(b"\0")[0]
        if not (kind == PROFILE or kind in TEXT and word not in wanted):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])
