"""The captions of emoji: nouns, articles, wordings. Pure; every word of a caption comes from here.

A *wording* is a template with one of the emoji's nouns in it. The plain ones ("a fox", "fox") are always trained. Of
the others one in six is held out, by a hash of (emoji, wording), and at least one for each emoji.
"""

import hashlib
import re

from distill.data.emoji_nouns import ALSO

PLAIN = ("{an}", "{n}")
WORDINGS = (
    "an emoji of {an}",
    "{n} emoji",
    "a picture of {an}",
    "an icon of {an}",
    "a 3d icon of {an}",
    "a shiny {n} icon",
    "{an}, emoji style",
    "the {n} emoji",
)
MORE = ("emoji of {an}", "{an} emoji", "{an} icon", "one {n}", "{n} sticker", "a sticker of {an}", "{n} icon")
PLURAL, CUTE = "{ns}", "a cute {n}"
WITH_KEYWORDS = ("{an}, {k}", "{n}, {k}, {j}", "{n} ({k})", "{k} {n}")
ON_BACKGROUND = ("on a {b} background", "on {b}", "against a {b} background", "with a {b} background")

RENAMED = {
    "rolling on the floor laughing": "face rolling on the floor laughing",
    "star-struck": "star-struck face",
    "foggy": "foggy city",
    "unlocked": "open padlock",
    "lock": "padlock",
    "locked with pen": "padlock with a pen",
    "locked with key": "padlock with a key",
    "breast-feeding": "breast-feeding woman",
    "face palm": "person facepalming",
    "shrug": "shrugging person",
    "juggling": "person juggling",
    "handball": "person playing handball",
    "water polo": "person playing water polo",
    "bath": "person taking a bath",
    "haircut": "person getting a haircut",
    "face massage": "person getting a face massage",
    "horse racing": "jockey on a horse",
    "person blond hair": "person with blond hair",
    "person beard": "person with a beard",
    "womans clothes": "woman's clothes",
    "womans boots": "woman's boots",
    "womans sandal": "woman's sandal",
    "womans hat": "woman's hat",
    "mans shoe": "man's shoe",
    "womans flat shoe": "woman's flat shoe",
    "pinata": "piñata",
    "hocho": "kitchen knife",
    "cooking": "fried egg in a pan",
    "meat on bone": "meat on the bone",
    "headphone": "headphones",
}
NOT_ALIASES = frozenset({
    "hankey", "shit", "flags", "feet", "date", "notes", "mega", "mag", "mag right", "calling", "compression",
    "mute", "sound", "loud sound", "shirt", "tada", "rice scene", "satisfied", "mate drink", "art", "medal",
    "smoking", "link", "three button mouse", "heavy heart exclamation mark ornament", "earth africa",
    "earth americas", "earth asia", "city sunrise", "city sunset", "post office", "barber", "sunny", "dart",
    "partly sunny", "mostly sunny", "barely sunny", "partly sunny rain", "wave", "cupid", "iphone", "birthday",
    "gift heart", "heartbeat", "heartpulse", "yum", "moyai", "chart", "busstop", "unlock", "stars", "barber pole",
    "fork and knife", "knife fork plate", "drum with drumsticks", "black joker", "cooking", "foggy", "no bell",
    "bullettrain side", "bullettrain front", "airplane arriving", "white frowning face", "flipper", "kissing heart",
    "mailbox closed", "fuelpump", "sun small cloud", "probing cane", "hocho", "japan", "beers", "vhs",
})  # fmt: skip
PROPER = frozenset({"mount fuji", "tokyo tower", "japan", "santa claus", "mrs. claus", "mx claus"})
WITH_THE = frozenset({"statue of liberty", "milky way", "kaaba", "earth globe europe-africa", "earth globe americas",
                      "earth globe asia-australia"})  # fmt: skip
UNCOUNTED = frozenset({
    "bread", "baguette bread", "flatbread", "stuffed flatbread", "bacon", "rice", "cooked rice", "curry rice", "curry",
    "popcorn", "butter", "salt", "garlic", "broccoli", "corn", "coral", "fog", "fire", "ice", "wood", "soap",
    "spaghetti", "sushi", "oden", "dango", "yarn", "thread", "sake", "ice cream", "icecream", "shaved ice",
    "canned food", "pouring liquid", "bubble tea", "tea", "coffee", "champagne", "ramen", "custard", "lightning",
    "dna", "camping", "bowling", "badminton", "tennis", "lacrosse", "ping pong", "billiards", "golf", "soccer",
    "field hockey", "ice hockey", "high voltage", "construction", "building construction", "bamboo", "mahjong",
    "performing arts", "nail polish", "mate", "money with wings", "candy", "chocolate", "confetti", "film",
    "cheese", "milk", "music", "applause", "zzz", "yin yang", "yoga", "skiing", "snowboarding", "surfing", "swimming",
    "fencing", "luggage", "poop", "meat on the bone", "light rail", "zap", "bath", "mountain biking",
})  # fmt: skip
IRREGULAR = {
    "person": "people", "child": "children", "foot": "feet", "tooth": "teeth", "goose": "geese", "mouse": "mice",
    "fish": "fish", "sheep": "sheep", "deer": "deer", "leaf": "leaves", "wolf": "wolves", "knife": "knives",
    "elf": "elves", "ox": "oxen", "dice": "dice", "bison": "bison", "moose": "moose", "shrimp": "shrimp",
    "squid": "squid", "scarf": "scarves", "human": "humans",
}  # fmt: skip
UNTURNED = re.compile(  # names without a plural ending: "person running", "palms up together", "hourglass not done"
    r"(s|up|down|left|right|crossed|together|hello|viewer)$| \w+ing\b|\b(not|tilted|medium|high|breast-feeding)\b"
)
SINGULAR_IN_S = re.compile(r"(ss|us|[^k]is|os)$")
LIKE_YOU = re.compile(r"^(uni|eu|ewe|ufo|usb|one\b)")
SILENT = re.compile(r"^(hour|x-ray)")
TAIL = re.compile(r" (with|without|of|on|in|behind|over|at|holding|lifting|getting|taking|and|playing (hand|water)).*$")
GROUP_WORD = {
    "smileys": "smiley", "nature": "nature", "foods": "food", "activity": "activity", "places": "place",
    "objects": "object", "people": "people", "signs": "symbol",
}  # fmt: skip
STOP_WORDS = frozenset({
    "and", "with", "the", "for", "not", "face", "photo", "done", "ftw", "man", "woman", "person", "cool", "good",
})  # fmt: skip


def plain_name(name: str) -> str:
    """The name as people type it: lower case, straight quotes, no colons ("Man: Red Hair" -> "man with red hair")."""
    name = name.lower().replace("’", "'").strip()
    base, colon, rest = name.partition(": ")
    if colon:
        return {"bald": f"bald {base}", "beard": f"{base} with a beard"}.get(rest, f"{base} with {rest}")
    return RENAMED.get(name, name)


def aliases(name: str, group: str, short_names: list[str], taken: set[str]) -> list[str]:
    """Other nouns for an emoji. The short names of smileys are mostly moods ("joy"), which are no nouns for a face."""
    out = []
    for text in (s.replace("_", " ").lower() for s in short_names):
        is_noun = group not in ("smileys", "people") or text.endswith((" face", "heart", "poop", "invader"))
        odd = text in NOT_ALIASES or re.search(r"\d|^lower left|^(wo)?mans ", text)
        if is_noun and not odd and text not in taken and text != name:
            out.append(text)
    return out


def keywords(name: str, words: list[str]) -> list[str]:
    """At most eight keywords: words of three letters or more that are not in the name."""
    inside = set(re.findall(r"[a-z]+", name))
    fit = [w.lower() for w in words if re.fullmatch(r"[A-Za-z]{3,}", w) and w.lower() not in inside | STOP_WORDS]
    return list(dict.fromkeys(fit))[:8]


def many(noun: str) -> bool:
    """Whether the noun is a plural already: "grapes", "men with bunny ears"."""
    head = TAIL.sub("", noun).split()
    return head[0] in ("men", "women") or (head[-1].endswith("s") and not SINGULAR_IN_S.search(head[-1]))


def with_article(noun: str, adjective: str = "") -> str:
    """The noun with its article: "a fox", "an owl"; "grapes", "bread" and "mount fuji" take none. `adjective` goes
    before the noun."""
    phrase = f"{adjective} {noun}".strip()
    if noun in WITH_THE:
        return f"the {phrase}"
    if noun in PROPER or noun in UNCOUNTED or many(noun):
        return phrase
    vowel = SILENT.match(phrase) or (phrase[0] in "aeiou" and not LIKE_YOU.match(phrase))
    return f"an {phrase}" if vowel else f"a {phrase}"


def plural(noun: str) -> str | None:
    """The plural of a noun: "foxes", "leaves", "policemen"; None where there is none."""
    if noun in PROPER | UNCOUNTED | WITH_THE or many(noun) or TAIL.search(noun) or UNTURNED.search(noun):
        return None
    before, _, last = noun.rpartition(" ")
    before = re.sub(r"^(wo)?man$", lambda match: match[0].replace("man", "men"), before)
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith("man"):
        last = last.removesuffix("man") + "men"
    elif re.search(r"(x|ch|sh|z|tomato|potato|hero)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last.removesuffix("y") + "ies"
    else:
        last += "s"
    return f"{before} {last}".strip()


def nouns(row: dict) -> tuple[str, ...]:
    """The nouns of an emoji: its name, then its aliases."""
    return (row["name"], *row["aliases"])


def more_nouns(row: dict) -> tuple[str, ...]:
    """The nouns of `nouns` and others that people use; a man or a woman also has those of the trade's person."""
    who, _, trade = row["name"].partition(" ")
    more = ALSO.get(row["name"], ())
    role = row["subgroup"] in ("person-role", "person-fantasy") and not TAIL.search(row["name"]) and "ing " not in trade
    if who in ("man", "woman") and (trade in ALSO or role):
        short = [noun for noun in ALSO.get(trade, ()) if noun.isalpha() and "man" not in noun]
        more += ({"man": "male", "woman": "female"}[who] + f" {trade}", *(f"{who} {noun}" for noun in short))
    return (*nouns(row), *more)


def toned(noun: str, tone: str | None, place: float) -> str:
    """The noun with a skin tone: "chef with dark skin" or "dark-skinned chef", chosen by `place` in [0, 1)."""
    if tone is None:
        return noun
    if place < 0.3:
        return f"{tone}-skinned {noun}"
    return f"{noun} and {tone} skin" if " with " in noun else f"{noun} with {tone} skin"


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def wordings(row: dict) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The wordings for (training, testing), each as (template, index of the noun). A sixth is held out: never a plain
    one, and at least one."""
    fit = WORDINGS + (WITH_KEYWORDS if row["keywords"] else ())
    which = range(1 + len(row["aliases"]))
    ranked = {(w, i): _hash("wording", row["name"], w, str(i)) for w in fit for i in which}
    held = [pair for pair, h in ranked.items() if h % 6 == 0] or [min(ranked, key=lambda pair: ranked[pair])]
    plain = [(w, i) for w in PLAIN for i in which]
    return plain + [pair for pair in ranked if pair not in held], held


def more_wordings(row: dict) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The same for `more_nouns` and more templates. Wordings that `wordings` holds out stay held out."""
    trained, held = wordings(row)
    every, cute = more_nouns(row), (CUTE,) if row["subgroup"].startswith("animal") else ()
    fit = WORDINGS + (WITH_KEYWORDS if row["keywords"] else ()) + MORE + cute
    # without an article, as in "grapes emoji", "{an} emoji" would be the caption of another wording
    bare = {i for i, noun in enumerate(every) if not with_article(noun).startswith(("a ", "an "))}
    pairs = [(w, i) for w in fit for i in range(len(every)) if i not in bare or w not in ("{an} emoji", "{an} icon")]
    pairs += [(PLURAL, i) for i, noun in enumerate(every) if plural(noun)]
    new = [pair for pair in pairs if pair not in {*trained, *held}]
    held_too = [pair for pair in new if _hash("wording", row["name"], pair[0], str(pair[1])) % 6 == 0]
    plain = [(w, i) for w in PLAIN for i in range(len(every))]
    return list(dict.fromkeys([*plain, *trained, *(p for p in new if p not in held_too)])), held + held_too


def held_out_background(name: str, backgrounds: list[str]) -> str:
    """The coloured background on which this emoji is never trained."""
    return min(backgrounds, key=lambda b: _hash("background", name, b))


def say(template: str, noun: str, words: list[str], background: str | None, place: int, adjective: str = "") -> str:
    """One caption. `words`: one or two keywords. `place`: the index of the wording that names the background."""
    phrase = f"{adjective} {noun}".strip()
    several = f"{adjective} {plural(noun)}".strip()
    text = template.format(n=phrase, an=with_article(noun, adjective), ns=several, k=words[0], j=words[-1])
    if background is None:
        return text
    on = ON_BACKGROUND[place % len(ON_BACKGROUND)].format(b=background)
    return f"{text} {on}"
