"""What an emoji is called: nouns, articles, wordings. Pure; every word that a caption can hold comes from here.

A *wording* is a template with one of the emoji's nouns in it. The plain ones ("a fox", "fox") always train; of the
others, one in six is held out by a hash of (emoji, wording), at least one an emoji.
"""

import hashlib
import re

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
    "luggage", "poop", "meat on the bone", "light rail", "zap", "bath", "mountain biking",
})  # fmt: skip
SINGULAR_IN_S = re.compile(r"(ss|us|[^k]is|os)$")
LIKE_YOU = re.compile(r"^(uni|eu|ewe|ufo|usb|one\b)")
SILENT = re.compile(r"^(hour|x-ray)")
TAIL = re.compile(r" (with|without|of|on|in|behind|over|at|holding|lifting|getting|taking|and|playing (hand|water)).*$")
GROUP_WORD = {
    "smileys": "smiley", "nature": "nature", "foods": "food", "activity": "activity", "places": "place",
    "objects": "object", "people": "people",
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
    """Other nouns for it. A smiley's short names are moods ("joy"), no nouns, but for those that say what they are."""
    out = []
    for text in (s.replace("_", " ").lower() for s in short_names):
        is_noun = group not in ("smileys", "people") or text.endswith((" face", "heart", "poop", "invader"))
        odd = text in NOT_ALIASES or re.search(r"\d|^lower left|^(wo)?mans ", text)
        if is_noun and not odd and text not in taken and text != name:
            out.append(text)
    return out


def keywords(name: str, words: list[str]) -> list[str]:
    """At most eight of what it is filed under: words of three letters and more that the name does not have already."""
    inside = set(re.findall(r"[a-z]+", name))
    fit = [w.lower() for w in words if re.fullmatch(r"[A-Za-z]{3,}", w) and w.lower() not in inside | STOP_WORDS]
    return list(dict.fromkeys(fit))[:8]


def with_article(noun: str) -> str:
    """ "fox" -> "a fox", "owl" -> "an owl", "grapes" and "bread" and "mount fuji" as they are."""
    if noun in PROPER or noun in UNCOUNTED:
        return noun
    if noun in WITH_THE:
        return f"the {noun}"
    head = TAIL.sub("", noun).split()
    if head[0] in ("men", "women") or (head[-1].endswith("s") and not SINGULAR_IN_S.search(head[-1])):
        return noun
    vowel = SILENT.match(noun) or (noun[0] in "aeiou" and not LIKE_YOU.match(noun))
    return f"an {noun}" if vowel else f"a {noun}"


def nouns(row: dict, tone: str | None = None) -> tuple[str, ...]:
    """The name first, then its aliases, each with the skin tone where one is to be said."""
    plain = (row["name"], *row["aliases"])
    if tone is None:
        return plain
    return tuple(f"{n} with {tone} skin" if " with " not in n else f"{n} and {tone} skin" for n in plain)


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def wordings(row: dict) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(trained, held out), each (template, which noun). Held out: a sixth, never a plain one, never none."""
    fit = WORDINGS + (WITH_KEYWORDS if row["keywords"] else ())
    which = range(1 + len(row["aliases"]))
    ranked = {(w, i): _hash("wording", row["name"], w, str(i)) for w in fit for i in which}
    held = [pair for pair, h in ranked.items() if h % 6 == 0] or [min(ranked, key=lambda pair: ranked[pair])]
    plain = [(w, i) for w in PLAIN for i in which]
    return plain + [pair for pair in ranked if pair not in held], held


def held_out_background(name: str, backgrounds: list[str]) -> str:
    """The one of the coloured backgrounds that this emoji is never trained on."""
    return min(backgrounds, key=lambda b: _hash("background", name, b))


def say(template: str, noun: str, words: list[str], background: str | None, place: int) -> str:
    """One caption; words: one keyword or two, `place` chooses how the background is named."""
    text = template.format(n=noun, an=with_article(noun), k=words[0], j=words[-1])
    if background is None:
        return text
    on = ON_BACKGROUND[place % len(ON_BACKGROUND)].format(b=background)
    return f"{text} {on}"


def vocabulary(rows: list[dict], tones: list[str], backgrounds: list[str]) -> list[str]:
    """Every word that a caption of these emoji can hold, sorted."""
    texts = [t.replace("{an}", "a an the").replace("{n}", "") for t in PLAIN + WORDINGS + WITH_KEYWORDS + ON_BACKGROUND]
    texts += list(GROUP_WORD.values()) + backgrounds + [f"with and {t} skin" for t in tones]
    for row in rows:
        texts += [row["name"], *row["aliases"], *row["keywords"]]
    found = re.findall(r"[^\W_][\w'-]*", " ".join(re.sub(r"\{\w\}", " ", t) for t in texts).lower())
    return sorted(set(found))
