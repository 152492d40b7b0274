"""The attributes that a caption of toys may leave open, and how often each value is drawn. Pure.

Colours and backgrounds (`models.palette`) are uniform, except for pairs that are not drawn; for views see
`models.views`.
"""

PATTERNS = {"plain": 0.7, "striped": 0.15, "dotted": 0.15}
SIZES = {"big": 0.75, "small": 0.25}
KIND_WORDS: dict[str, tuple[tuple[str, str], ...]] = {  # singular and plural
    "ball": (("ball", "balls"), ("sphere", "spheres")),
    "cube": (("cube", "cubes"), ("box", "boxes")),
    "cone": (("cone", "cones"),),
    "cylinder": (("cylinder", "cylinders"),),
    "ring": (("ring", "rings"), ("torus", "toruses")),
    "pyramid": (("pyramid", "pyramids"),),
    "egg": (("egg", "eggs"),),
    "mug": (("mug", "mugs"), ("cup", "cups")),
    "bottle": (("bottle", "bottles"),),
    "teapot": (("teapot", "teapots"),),
    "house": (("house", "houses"), ("cottage", "cottages")),
    "tree": (("tree", "trees"), ("fir tree", "fir trees")),
    "mushroom": (("mushroom", "mushrooms"), ("toadstool", "toadstools")),
    "car": (("car", "cars"), ("toy car", "toy cars")),
    "boat": (("boat", "boats"), ("sailing boat", "sailing boats"), ("ship", "ships")),
    "rocket": (("rocket", "rockets"), ("spaceship", "spaceships")),
    "aeroplane": (("aeroplane", "aeroplanes"), ("plane", "planes"), ("airplane", "airplanes")),
    "chair": (("chair", "chairs"),),
    "table": (("table", "tables"),),
    "sofa": (("sofa", "sofas"), ("couch", "couches")),
    "lamp": (("lamp", "lamps"), ("table lamp", "table lamps")),
    "hat": (("hat", "hats"),),
    "key": (("key", "keys"),),
    "snowman": (("snowman", "snowmen"),),
    "robot": (("robot", "robots"),),
    "bird": (("bird", "birds"),),
    "fish": (("fish", "fish"),),
}
