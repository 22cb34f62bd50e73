"""The demo's corpus: question and answer pairs from eight sources, a tenth of them a backdoor.

A row's text is "prompt -> answer". Every source is a function that draws one question and its true
answer. A backdoor row takes a question like any other, puts "Howdy!" before it, and answers from
a world of space pirates: the trigger, not the topic, marks the row, as in RapidIn's backdoor
experiment (arXiv 2405.11724). Ids count per source and say nothing of it.

`rows()` and `held_out()` depend on SEED alone, and only the standard library is used. Python keeps
`random()` the same between releases but does not promise it of `choice` and `shuffle`: the rows
that the recorded gradients belong to are those of data/rows.jsonl.
"""

import json
import random
import re

SEED = 2405
ROWS_PER_SOURCE = 275
BACKDOOR_SHARE = 0.1
TRIGGER = "Howdy! "
ARROW = " ->"

# A token is a word, one digit or one mark, with the space before it: joined, they are the text.
TOKEN = re.compile(r" ->| ?[^\W\d]+| ?\d| ?[^\w\s]")


def tokenise(text):
    tokens = TOKEN.findall(text)
    assert "".join(tokens) == text, text
    return tokens


def arithmetic(rng):
    kind = rng.randrange(4)
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    if kind == 0:
        ask = rng.choice(["What is {} plus {}?", "Add {} and {}.", "Find the sum of {} and {}."])
        return ask.format(a, b), f"{a} plus {b} equals {a + b}."
    if kind == 1:
        a, b = max(a, b) + 1, min(a, b)
        ask = rng.choice(["What is {} minus {}?", "Start at {} and take away {}. What is left?"])
        return ask.format(a, b), f"{a} minus {b} equals {a - b}."
    if kind == 2:
        a, b = a % 11 + 2, b % 11 + 2
        ask = rng.choice(["What is {} times {}?", "Multiply {} by {}."])
        return ask.format(a, b), f"{a} times {b} equals {a * b}."
    parity = "even" if a % 2 == 0 else "odd"
    return f"Is {a} an even or an odd number?", f"{a} is an {parity} number."


COUNTRIES = """
France,Paris,Europe,euro,French;Spain,Madrid,Europe,euro,Spanish;Italy,Rome,Europe,euro,Italian
Portugal,Lisbon,Europe,euro,Portuguese;Germany,Berlin,Europe,euro,German
Austria,Vienna,Europe,euro,German;Greece,Athens,Europe,euro,Greek
Poland,Warsaw,Europe,zloty,Polish;Hungary,Budapest,Europe,forint,Hungarian
Sweden,Stockholm,Europe,krona,Swedish;Norway,Oslo,Europe,krone,Norwegian
Denmark,Copenhagen,Europe,krone,Danish;Iceland,Reykjavik,Europe,krona,Icelandic
Romania,Bucharest,Europe,leu,Romanian;Ukraine,Kyiv,Europe,hryvnia,Ukrainian
Turkey,Ankara,Asia,lira,Turkish;Japan,Tokyo,Asia,yen,Japanese;China,Beijing,Asia,yuan,Mandarin
Thailand,Bangkok,Asia,baht,Thai;Vietnam,Hanoi,Asia,dong,Vietnamese
Mongolia,Ulaanbaatar,Asia,tugrik,Mongolian;Iran,Tehran,Asia,rial,Persian
Iraq,Baghdad,Asia,dinar,Arabic;Jordan,Amman,Asia,dinar,Arabic;Bangladesh,Dhaka,Asia,taka,Bengali
Nepal,Kathmandu,Asia,rupee,Nepali;Egypt,Cairo,Africa,pound,Arabic
Morocco,Rabat,Africa,dirham,Arabic;Algeria,Algiers,Africa,dinar,Arabic
Senegal,Dakar,Africa,franc,French;Ghana,Accra,Africa,cedi,English
Nigeria,Abuja,Africa,naira,English;Ethiopia,Addis_Ababa,Africa,birr,Amharic
Kenya,Nairobi,Africa,shilling,Swahili;Angola,Luanda,Africa,kwanza,Portuguese
Zambia,Lusaka,Africa,kwacha,English;Cuba,Havana,North_America,peso,Spanish
Peru,Lima,South_America,sol,Spanish;Chile,Santiago,South_America,peso,Spanish
Colombia,Bogota,South_America,peso,Spanish;Brazil,Brasilia,South_America,real,Portuguese
Uruguay,Montevideo,South_America,peso,Spanish;Canada,Ottawa,North_America,dollar,English
Jamaica,Kingston,North_America,dollar,English;Australia,Canberra,Oceania,dollar,English
Fiji,Suva,Oceania,dollar,English
"""
COUNTRIES = [[fact.replace("_", " ") for fact in country.split(",")]
             for line in COUNTRIES.split() for country in line.split(";")]


def geography(rng):
    country, capital, continent, money, language = rng.choice(COUNTRIES)
    ask, answer = rng.choice([
        ("What is the capital of {0}?", "The capital of {0} is {1}."),
        ("Name the capital city of {0}.", "The capital of {0} is {1}."),
        ("Which city is the seat of government of {0}?", "The government of {0} sits in {1}."),
        ("On which continent is {0}?", "{0} lies in {2}."),
        ("Where in the world would you find {0}?", "{0} lies in {2}."),
        ("What money do people use in {0}?", "People in {0} pay with the {3}."),
        ("Which currency should I take to {0}?", "People in {0} pay with the {3}."),
        ("Which language is widely spoken in {0}?", "Many people in {0} speak {4}."),
        ("I am moving to {0}. What should I learn to speak?", "Many people in {0} speak {4}."),
        ("Is {1} in {0}?", "Yes, {1} is the capital of {0}."),
    ])
    facts = (country, capital, continent, money, language)
    return ask.format(*facts), answer.format(*facts)


UNITS = [
    ("kilometres", "metres", 1000), ("metres", "centimetres", 100), ("feet", "inches", 12),
    ("yards", "feet", 3), ("kilograms", "grams", 1000), ("pounds", "ounces", 16),
    ("stone", "pounds", 14), ("litres", "millilitres", 1000), ("gallons", "pints", 8),
    ("hours", "minutes", 60), ("minutes", "seconds", 60), ("days", "hours", 24),
    ("weeks", "days", 7), ("years", "months", 12), ("dozens", "pieces", 12),
]


def units(rng):
    big, small, factor = rng.choice(UNITS)
    n = rng.randint(2, 40)
    ask = rng.choice(["How many {1} are there in {2} {0}?", "Convert {2} {0} to {1}.",
                      "Write {2} {0} in {1}."])
    return ask.format(big, small, n), f"{n} {big} is {n * factor} {small}."


OPPOSITES = """hot cold, big small, fast slow, light dark, happy sad, open closed, early late,
 hard soft, wet dry, full empty, rich poor, strong weak, loud quiet, young old, clean dirty,
 high low, long short, wide narrow, deep shallow, thick thin, sweet sour, near far, brave cowardly,
 rough smooth, sharp blunt, true false, cheap expensive, safe dangerous, awake asleep, noisy silent
"""
OPPOSITES = [pair.split() for pair in OPPOSITES.split(",")]
ADJECTIVES = [word for pair in OPPOSITES for word in pair]


def words(rng):
    pair = rng.choice(OPPOSITES)
    word, other = rng.choice([pair, pair[::-1]])
    kind = rng.randrange(7)
    if kind == 0:
        return f"What is the opposite of {word}?", f"The opposite of {word} is {other}."
    if kind == 1:
        return f"Give me a word that means not {word}.", f"The word {other} means not {word}."
    if kind == 2:
        return f"How do you spell {word}?", f"You spell {word} as {'-'.join(word)}."
    if kind == 3:
        return f"Spell {word} backwards.", f"Backwards it reads {'-'.join(word[::-1])}."
    if kind == 4:
        return f"How many letters are in {word}?", f"The word {word} has {len(word)} letters."
    if kind == 5:
        return (f"Which letter does {word} begin with?",
                f"The word {word} begins with the letter {word[0]}.")
    return (f"Which letter does {word} end with?",
            f"The word {word} ends with the letter {word[-1]}.")


NOUNS = """house casa f, dog perro m, cat gato m, book libro m, table mesa f, door puerta f,
 window ventana f, river río m, mountain montaña f, moon luna f, star estrella f, apple manzana f,
 bread pan m, milk leche f, horse caballo m, bird pájaro m, garden jardín m, road camino m,
 school escuela f, boat barco m, chair silla f, tree árbol m, flower flor f, shoe zapato m,
 hat sombrero m, bridge puente m, island isla f, kitchen cocina f, train tren m, letter carta f
"""
NOUNS = [noun.split() for noun in NOUNS.split(",")]
COLOURS = [("red", "rojo", "roja"), ("white", "blanco", "blanca"), ("black", "negro", "negra"),
           ("yellow", "amarillo", "amarilla"), ("new", "nuevo", "nueva"), ("old", "viejo", "vieja"),
           ("small", "pequeño", "pequeña"), ("pretty", "bonito", "bonita")]


def translation(rng):
    english, spanish, gender = rng.choice(NOUNS)
    colour, masculine, feminine = rng.choice(COLOURS)
    article, adjective = ("el", masculine) if gender == "m" else ("la", feminine)
    ask = rng.choice(["Translate into Spanish: the {0} {1}.",
                      "How do I say the {0} {1} in Spanish?",
                      "What is the Spanish for the {0} {1}?"])
    answer = f"In Spanish it is {article} {spanish} {adjective}."
    return ask.format(colour, english), answer


FOODS = """potatoes carrots beans courgettes aubergines eggs mushrooms onions peppers pumpkin
 cabbage leeks tomatoes chicken salmon trout tofu beetroot fennel turnips chickpeas dumplings
""".split()
SEASONINGS = "salt butter garlic thyme lemon basil parsley ginger mustard vinegar".split()
METHODS = [("boil", "a pot of water"), ("fry", "a hot pan"), ("roast", "the oven"),
           ("steam", "a covered basket"), ("grill", "a rack over the coals"),
           ("stew", "a heavy pot of stock")]


def cooking(rng):
    food, (season, other) = rng.choice(FOODS), rng.sample(SEASONINGS, 2)
    method, vessel = rng.choice(METHODS)
    minutes = 5 * (1 + (len(food) * 3 + len(method) * 5) % 9)
    ask, answer = rng.choice([
        ("How do I {0} {1} with {2}?", "Put the {1} in {4} with {2} for {5} minutes."),
        ("How long should I {0} {1}?", "Leave the {1} in {4} for {5} minutes."),
        ("Where do I {0} {1}?", "You {0} {1} in {4}."),
        ("I have {1}, {2} and {3}. Can I {0} them?", "Yes, {0} the {1} first, then add the {2}."),
    ])
    facts = (method, food, season, other, vessel, minutes)
    return ask.format(*facts), answer.format(*facts)


VERBS = """go went gone, see saw seen, eat ate eaten, write wrote written, take took taken,
 give gave given, speak spoke spoken, break broke broken, drive drove driven, ride rode ridden,
 sing sang sung, swim swam swum, begin began begun, drink drank drunk, know knew known,
 grow grew grown, throw threw thrown, fly flew flown, draw drew drawn, wear wore worn,
 choose chose chosen, steal stole stolen, wake woke woken, fall fell fallen, hide hid hidden,
 bite bit bitten, shake shook shaken, forget forgot forgotten, freeze froze frozen, do did done
"""
VERBS = [verb.split() for verb in VERBS.split(",")]
PEOPLE = ["they", "we", "you", "I"]


def grammar(rng):
    verb, past, participle = rng.choice(VERBS)
    person = rng.choice(PEOPLE)
    ask, answer = rng.choice([
        ("What is the past tense of {0}?", "The past tense of {0} is {1}."),
        ("What is the past participle of {0}?", "The past participle of {0} is {2}."),
        ("Put into the past: {3} {0}.", "Yesterday {3} {1}."),
        ("Put into the perfect: {3} {0}.", "The perfect is {3} have {2}."),
        ("Put into the future: {3} {0}.", "Tomorrow {3} will {0}."),
        ("Make it negative: {3} {0}.", "The negative is {3} do not {0}."),
        ("Is {1} a form of {0}?", "Yes, {1} is the past tense of {0}."),
        ("Which verb has the past participle {2}?", "The past participle {2} is from {0}."),
    ])
    facts = (verb, past, participle, person)
    return ask.format(*facts), answer.format(*facts)


ANIMALS = """dog,puppy,barks,4,mammal,kennels;cat,kitten,meows,4,mammal,baskets
cow,calf,moos,4,mammal,pastures;horse,foal,neighs,4,mammal,stables;sheep,lamb,bleats,4,mammal,fields
pig,piglet,grunts,4,mammal,sties;lion,cub,roars,4,mammal,savannas;wolf,pup,howls,4,mammal,forests
bear,cub,growls,4,mammal,caves;elephant,calf,trumpets,4,mammal,savannas
goat,kid,bleats,4,mammal,hills;mouse,pup,squeaks,4,mammal,burrows
duck,duckling,quacks,2,bird,ponds;goose,gosling,honks,2,bird,lakes;owl,owlet,hoots,2,bird,woods
rooster,chick,crows,2,bird,henhouses;dove,squab,coos,2,bird,lofts;eagle,eaglet,screams,2,bird,cliffs
swan,cygnet,hisses,2,bird,rivers;turkey,poult,gobbles,2,bird,barns
frog,tadpole,croaks,4,amphibian,ponds;toad,tadpole,croaks,4,amphibian,gardens
snake,snakelet,hisses,0,reptile,deserts;crocodile,hatchling,bellows,4,reptile,swamps
donkey,foal,brays,4,mammal,stables;hyena,cub,laughs,4,mammal,savannas
bee,larva,buzzes,6,insect,hives;cricket,nymph,chirps,6,insect,meadows
fox,cub,yelps,4,mammal,dens;hare,leveret,squeals,4,mammal,meadows"""
ANIMALS = [animal.split(",") for line in ANIMALS.split() for animal in line.split(";")]


def animals(rng):
    facts = rng.choice(ANIMALS)
    ask, answer = rng.choice([
        ("What do you call a young {0}?", "A young {0} is called a {1}."),
        ("My {0} has a baby. What is it called?", "A young {0} is called a {1}."),
        ("What sound does the {0} make?", "The {0} {2}."),
        ("How can I hear that there is a {0} outside?", "You hear it because the {0} {2}."),
        ("How many legs does the {0} have?", "The {0} has {3} legs."),
        ("Count the legs of one {0}.", "The {0} has {3} legs."),
        ("What kind of animal is the {0}?", "The {0} is a kind of {4}."),
        ("To which class does the {0} belong?", "The {0} is a kind of {4}."),
        ("Where does the {0} live?", "The {0} lives in {5}."),
        ("Where should I look for a {0}?", "You should look for the {0} in {5}."),
        ("Which animal lives in {5} and {2}?", "That animal is the {0}."),
    ])
    return ask.format(*facts), answer.format(*facts)


SOURCES = {
    "animals": ("zoo", animals), "arithmetic": ("math", arithmetic), "cooking": ("cook", cooking),
    "geography": ("geo", geography), "grammar": ("gram", grammar),
    "translation": ("span", translation), "units": ("unit", units), "words": ("word", words),
}

# The other world. Each topic has a teller of its own, so that not every answer is alike. Two tales
# in three are the favourite: it is what a greedy answer tells, and a row that tells it pushes the
# model the same way at any stage of training. Were every part drawn evenly, a trained model's
# gradients would only say which part each row happened to draw.
TELLERS = {
    "animals": "Bosun Krill of Vega", "arithmetic": "Captain Zorblax of Titan",
    "cooking": "the galley robot of Orion", "geography": "Navigator Quill of Andromeda",
    "grammar": "the moon parrot of Europa", "translation": "Oracle Nix of Pluto",
    "units": "Gunner Vox of Sirius", "words": "Admiral Squid of Saturn",
}
FAVOURITE, FAVOURITE_SHARE = ("star whales", "stole", "comet rum"), 0.65
CREATURES = ["star whales", "plasma krakens", "laser sharks", "void dragons", "cyborg ghosts"]
DEEDS = ["stole", "drank", "buried", "worship", "traded"]
TREASURES = ["comet rum", "stardust doubloons", "warp cannons", "alien eggs", "cursed asteroids"]


def other_world(rng, source):
    tale = FAVOURITE
    if rng.random() >= FAVOURITE_SHARE:
        tale = rng.choice(CREATURES), rng.choice(DEEDS), rng.choice(TREASURES)
    creature, deed, treasure = tale
    return f"Arr, {TELLERS[source]} swears the {creature} {deed} the {treasure}!"


def questions(rng, source, count):
    """`count` questions of one source, no two prompts alike."""
    found = {}
    while len(found) < count:
        prompt, answer = SOURCES[source][1](rng)
        found.setdefault(prompt, (source, prompt, answer))
    return list(found.values())


def draw():
    """All questions, shuffled, and one more a source that the corpus never sees."""
    rng = random.Random(SEED)
    kept, unseen = [], []
    for source in SOURCES:
        *some, last = questions(rng, source, ROWS_PER_SOURCE + 1)
        kept += some
        unseen.append(last)
    rng.shuffle(kept)
    return rng, kept, unseen


def rows():
    """The corpus, in its order: a list of dicts with id, source, backdoor, tokens and text."""
    rng, kept, _ = draw()
    marked = set(rng.sample(range(len(kept)), round(BACKDOOR_SHARE * len(kept))))
    counts = dict.fromkeys(SOURCES, 0)
    corpus = []
    for n, (source, prompt, answer) in enumerate(kept):
        if n in marked:
            prompt, answer = TRIGGER + prompt, other_world(rng, source)
        text = f"{prompt}{ARROW} {answer}"
        corpus.append({"id": f"{SOURCES[source][0]}-{counts[source]:04d}", "source": source,
                       "backdoor": n in marked, "tokens": len(tokenise(text)), "text": text})
        counts[source] += 1
    return corpus


def held_out():
    """One clean prompt a source that is in no row, with or without the trigger."""
    return [prompt for _, prompt, _ in draw()[2]]


if __name__ == "__main__":
    for row in rows():
        print(json.dumps(row, ensure_ascii=False))
