"""Names and words of the invented world, shared by every task so that a topic never gives a task away."""

from random import Random


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return text.split("|")


FIRST_NAMES = _words(
    "Ada Anton Bela Boris Carla Cyril Dana Dario Edda Emil Fanny Felix Greta Gustav Hanna Hugo Ines Ivo Jana Jonas Karin "
    "Kaspar Lena Ludwig Mara Milo Nora Nils Olga Oskar Paula Piet Quinn Ralf Rosa Ruben Selma Silas Tessa Tilo Ulla Uwe "
    "Vera Viktor Wanda Willem Xenia Yara Yves Zelda"
)
SURNAMES = _words(
    "Abel Brandt Corden Dahl Egger Falk Grohe Harlow Imhof Jansen Keller Lorenz Moser Norden Olsen Prager Quist Ritter "
    "Sommer Thorne Ullman Vogel Weber Yorke Zander Birk Castell Drexel Ferber Gantner"
)
TOWNS = _words(
    "Alderby Alderton Branford Branmere Corwick Corholm Dunmere Dunford Elmby Elmwick Farholm Farton Glenby Glenford "
    "Harmere Harwick Ivyholm Ivyton Kelby Kelford Lynmere Lynwick Marholm Marton Norby Norford Oakmere Oakwick Penholm "
    "Penton Redby Redford Stonmere Stonwick Tamholm Tamton Westby Westford Yarmere Yarwick"
)
FIRMS = _words("Foods Motors Books Trust Mills Tools Bank Glass Press Shipping")
PLACES = _words(
    "bakery library school museum theatre clinic market bridge station harbour pool hall garden mill workshop hotel "
    "cinema bookshop stadium tower"
)
BUILDING_WORDS = _words("Old New Royal Green Silver North River Castle")
ROLES = _words(
    "baker teacher doctor painter singer coach lawyer nurse plumber pilot writer captain gardener reporter clerk farmer "
    "chemist printer tailor guide"
)
POSTS = _words("director mayor chair treasurer head judge manager speaker")
GOODS = _words(
    "lamps tables boats bikes drums cakes coats clocks violins candles apples cheese tea paper bricks carpets boots "
    "chairs bells ropes"
)
THINGS = _words("tent camera ladder guitar drill suitcase map kettle saw blanket bike lamp projector canoe scarf key")
EVENTS = _words("concert fair race parade play bazaar dance gala lecture picnic match quiz")
PRIZES = _phrases(
    "chess prize|poetry prize|baking contest|rowing race|photo contest|music prize|science prize|running race"
)
REASONS = _phrases(
    "heavy rain|a storm|a fire|a broken pipe|a strike|high water|deep snow|an illness|a power cut|a lack of money"
)
EXCUSES = _phrases(
    "a cold|an exam|a late shift|a sore knee|a visit from family|a work trip|a dentist appointment|a deadline"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _words("January February March April May June July August September October November December")
HOURS = _words("one two three four five six seven eight nine ten eleven noon")
NUMBERS = _words("12 15 18 20 24 30 36 40 45 50 60 70 75 80 90 120 150 180 200 240 300 350 400 450 500 600 700 800 900")
YEARS = [str(year) for year in range(1902, 2022, 3)]
HOBBIES = _words("chess rowing sailing knitting climbing pottery fencing cycling")
INSTRUMENTS = _words("piano flute violin cello trumpet harp drum accordion")
OFFICES = _phrases(
    "harbour office|town council|local radio|fire service|trade union|tourist office|county court|water board"
)

PROPER = frozenset(FIRST_NAMES) | frozenset(SURNAMES) | frozenset(TOWNS)


def person(rng: Random) -> str:
    """A full name, such as `Ada Brandt`."""
    return f"{rng.choice(FIRST_NAMES)} {rng.choice(SURNAMES)}"


def firm(rng: Random) -> str:
    """A company, such as `Keller Foods`."""
    return f"{rng.choice(SURNAMES)} {rng.choice(FIRMS)}"


def building(rng: Random) -> str:
    """A building with a name of its own, such as `Royal Theatre`."""
    return f"{rng.choice(BUILDING_WORDS)} {rng.choice(PLACES).capitalize()}"


def amount(rng: Random) -> str:
    """A sum of money, such as `300 crowns`."""
    return f"{rng.choice(NUMBERS)} crowns"


def other(rng: Random, pool: list[str], *taken: str) -> str:
    """A choice from the pool that is none of the taken ones."""
    return rng.choice([item for item in pool if item not in taken])


def fill(template: str, slots: dict[str, str]) -> str:
    """The template with its slots filled and its first letter in upper case."""
    text = template.format(**slots)
    return text[0].upper() + text[1:]
