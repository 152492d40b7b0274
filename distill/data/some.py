"""A part of a source: some of its pictures, evenly spaced."""

from distill.data import Example, Source


class Some:
    """At most `most` pictures of a source."""

    def __init__(self, source: Source, most: int):
        self.source, self.size = source, min(most, len(source))
        self.name, self.signature = source.name, ("some", self.size, getattr(source, "signature", source.name))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.source[index * len(self.source) // self.size]
