"""A picture is kept once, whichever page asks for it, and however often."""

import numpy as np
from PIL import Image

from models import picture
from models.request import ImageRequest
from ui.gallery import Gallery


def test_the_same_picture_is_known_by_its_request_and_its_looks(tmp_path):
    gallery = Gallery(tmp_path, lambda png: picture.read(png).to_dict())
    request = ImageRequest("a fox", model="toybox-sprint", seed=5)
    pixels = np.full((128, 128, 3), 100, np.uint8)
    id = gallery.add(picture.png_bytes(Image.fromarray(pixels), request), request.to_dict())
    near, far = Image.fromarray(pixels + 1), Image.fromarray(pixels + 9)
    assert gallery.same(near, request.to_dict()) == id, "another batch differs by a grey level"
    assert gallery.same(far, request.to_dict()) is None, "the model was trained further since"
    assert gallery.same(near, request.to_dict(), owner="b" * 32) is None
    assert gallery.same(near, ImageRequest("a fox", model="toybox-sprint", seed=6).to_dict()) is None
    gallery.delete(id)
    assert gallery.same(near, request.to_dict()) is None
    gallery.close()
