"""The tables matching reads by: what one thing is called on either venue, and which words say nothing. Pure data.

Law: an alias joins two names of the SAME thing; a narrower or a wider thing never gets one ("primary" is not
"nominee", "Korea" is not "South Korea"). Every table is applied to folded text (lower case, no accents).
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Phrase -> what both venues' texts become. Longer phrases first where one holds the other.
ALIASES: Final = (
    (r"democratic party|democrats|democrat", "democratic"),
    (r"republican party|republicans|gop", "republican"),
    (r"gubernatorial|governorship", "governor"),
    (r"presidency", "presidential"),
    (r"u\.s\.a?\.?|united states|usa", "us"),
    (r"united kingdom|u\.k\.", "uk"),
    (r"federal reserve|fomc", "fed"),
    (r"btc", "bitcoin"),
    (r"eth", "ethereum"),
    (r"sol", "solana"),
    (r"(?:men'?s )?(?:fifa )?(?:men'?s )?world cup", "fifa world cup"),
    (r"make the|qualify (?:for|to)|advance to", "reach"),
    (r"college world series|college baseball world series", "college baseball world series"),
    (r"uefa champions league|champions league|ucl", "uefa champions league"),
    (r"pro (?:men'?s )?basketball", "nba"),
    (r"pro football", "nfl"),
    (r"pro baseball", "mlb"),
    (r"pro hockey", "nhl"),
    (r"league of legends", "lol"),
    (r"counter-?strike(?: 2)?", "cs2"),
    (r"call of duty", "cod"),
    (r"both teams (?:to )?score", "btts"),
    (r"over/under|o/u", "total"),
    (r"month[- ]over[- ]month", "mom"),
    (r"year[- ]over[- ]year", "yoy"),
    (r"nomination", "nominee"),
    (r"finish (?:1st|first)", "win"),
    (r"be (?:drafted|picked|selected)", "pick"),
    (r"albums?", "album"),
    (r"donald (?:j\. )?trump", "trump"),
    (r"joe biden", "biden"),
    (r"presented by \w+", ""),
    (r"honour", "honor"),
    (r"e-sports", "esports"),
    (r"1st overall", "1st"),
    (r"munchen", "munich"),
    (r"psg", "paris saint germain"),
    (r"saint[- ]", "st "),
    (r"st\. ", "st "),
    (r"cote d'?ivoire", "ivory coast"),
    (r"turkiye", "turkey"),
    (r"czech republic", "czechia"),
)

# One form for words that mean the same in a question.
SYNONYMS: Final = {
    "highest": "max", "high": "max", "maximum": "max",
    "lowest": "min", "low": "min", "minimum": "min",
    "temp": "temperature",
    "championship": "champion", "champions": "champion",
    "attend": "attend", "wins": "win", "won": "win", "winner": "win", "winning": "win",
    "announced": "announce", "announces": "announce",
    "leaves": "leave", "leaving": "leave",
    "qualifies": "qualify", "reach": "reach", "reaches": "reach", "hits": "hit",
    "resigns": "resign", "assists": "assist", "congressional": "congress", "presidential": "president",
    "parliamentary": "parliament", "rises": "rise", "falls": "fall",
    "increases": "increase", "decreases": "decrease",
}  # fmt: skip

# Words a question can lose or gain without asking for something else.
EMPTY: Final = _words(
    "a an and any are as at be been being by did do does for from get had has have how if in into is it its many much"
    " of on or s so than that the their there these they this those to was were what when which who whose will with"
    " would while during end time day date person market question listed following officially official exactly"
    " win finish race team seat party election held scheduled take place et am pm eastern utc annual edition year month"
    " price value close"
)

# Dropped from the names of clubs and teams; squads below are not clubs but other teams.
CLUB: Final = _words("fc cf sc ac afc cfc sv bk if fk sk ssc club team esports e gaming rb ca cd ud us as")
SQUAD: Final = _words(
    "academy challengers challenger youth junior juniors reserves women womens ladies ii iii b u17 u18 u19 u20 u21 u23"
)  # fmt: skip

# Around a fixture these words add nothing to what is asked.
FIXTURE_EMPTY: Final = _words(
    "match game lol cs2 cod valorant dota 2 tennis soccer football basketball baseball hockey win winner moneyline"
)  # fmt: skip
SCORING: Final = _words("goal run point score scored total")

# Steps on the way to something: necessary, never the same as the thing itself.
STAGES: Final = _words(
    "nominee primary reach ballot advance announce runoff confirm nominate endorse qualify candidate declare propose"
    " file inaugurate sworn inauguration run"
)

# A level touched at any time of a window, not held at its end.
TOUCHES: Final = _words("hit reach touch dip drop crash")

NEGATIONS: Final = frozenset(("not", "never", "without", "fail", "fails", "neither", "no", "cannot", "wont"))

# Directions that are each other's opposite where no number is asked for.
DIRECTIONS: Final = {
    "up": ("up", True), "down": ("up", False),
    "rise": ("rise", True), "fall": ("rise", False),
    "increase": ("increase", True), "decrease": ("increase", False),
    "higher": ("higher", True), "lower": ("higher", False),
}  # fmt: skip

ORDINALS: Final = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10,
}  # fmt: skip

STATES: Final = {
    "alabama": "al", "alaska": "ak", "arizona": "az", "arkansas": "ar", "california": "ca", "colorado": "co",
    "connecticut": "ct", "delaware": "de", "florida": "fl", "georgia": "ga", "hawaii": "hi", "idaho": "id",
    "illinois": "il", "indiana": "in", "iowa": "ia", "kansas": "ks", "kentucky": "ky", "louisiana": "la",
    "maine": "me", "maryland": "md", "massachusetts": "ma", "michigan": "mi", "minnesota": "mn", "mississippi": "ms",
    "missouri": "mo", "montana": "mt", "nebraska": "ne", "nevada": "nv", "new hampshire": "nh", "new jersey": "nj",
    "new mexico": "nm", "new york": "ny", "north carolina": "nc", "north dakota": "nd", "ohio": "oh",
    "oklahoma": "ok", "oregon": "or", "pennsylvania": "pa", "rhode island": "ri", "south carolina": "sc",
    "south dakota": "sd", "tennessee": "tn", "texas": "tx", "utah": "ut", "vermont": "vt", "virginia": "va",
    "washington": "wa", "west virginia": "wv", "wisconsin": "wi", "wyoming": "wy",
}  # fmt: skip

MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("may",), ("june", "jun"),
            ("july", "jul"), ("august", "aug"), ("september", "sept", "sep"), ("october", "oct"),
            ("november", "nov"), ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}  # fmt: skip
