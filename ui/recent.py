"""The cache of the last painted pictures, so that keeping or downloading one gives exactly the picture on the page."""

from PIL.Image import Image

from core.files import LRU

MOST_BYTES = 128 * 2**20


class Recent(LRU[str, Image]):
    """Pictures, each by the request for it alone."""

    def __init__(self, most: int = MOST_BYTES):
        super().__init__(most, size)


def size(picture: Image) -> int:
    return picture.width * picture.height * len(picture.getbands())
