"""Pictures that were painted a moment ago, so that keeping or downloading one gives exactly what was seen."""

import threading
from collections import OrderedDict

from PIL.Image import Image

MOST_BYTES = 128 * 2**20


class Recent:
    """Pictures by the request that gives each alone; the least recently used go when there are too many bytes."""

    def __init__(self, most: int = MOST_BYTES):
        self.most = most
        self._held: OrderedDict[str, Image] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, key: str, picture: Image) -> None:
        with self._lock:
            self._bytes += _size(picture) - (_size(self._held.pop(key)) if key in self._held else 0)
            self._held[key] = picture
            while self._bytes > self.most and len(self._held) > 1:
                self._bytes -= _size(self._held.popitem(last=False)[1])

    def get(self, key: str) -> Image | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)


def _size(picture: Image) -> int:
    return picture.width * picture.height * len(picture.getbands())
