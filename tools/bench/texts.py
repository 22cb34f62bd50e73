"""A training set as large as one likes, for benchmarks: the demo's questions, asked in many ways.

A text is "prompt -> answer", of at most 47 tokens. The demo's eight sources supply the questions,
and are drawn unevenly. A text asks one question plainly, or inside a polite frame (so that near
duplicates are common: the same question and answer in another frame), or it asks two. About one in
eight is a backdoor, as in the demo; of the others, one in fifty has the answer to another question
("noisy"), as data that people collect do.

`rows(n)` depends on n and SEED alone, its first rows not on n; no two texts are alike.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

import corpus  # noqa: E402

SEED = 65536
LONGEST = 47  # with the end mark this is the demo's model's context, 48
BACKDOORS, NOISE = 0.1, 0.02
KINDS = {"plain": 3, "framed": 3, "pair": 2}
SHARES = {"cooking": 8, "arithmetic": 6, "units": 4, "geography": 3, "animals": 2,
          "grammar": 2, "translation": 2, "words": 1}

PROMPTS = ["Please tell me. {}", "Quick question. {}", "Hello! {}", "My teacher asks this. {}",
           "{} Answer in one sentence.", "{} Thank you.", "I need some help. {} Be brief.",
           "{} I always forget.", "Dear friend, a question for you. {}", "{} Nobody here knows.",
           "For a quiz tonight. {}", "My daughter wants to know. {} Please be kind."]
ANSWERS = ["{}", "{}", "Sure. {}", "Well, that is easy. {}", "{} I hope this helps.",
           "Good question! {}", "{} Ask me anything else."]


def ask(rng):
    source = rng.choices(list(SHARES), SHARES.values())[0]
    return source, *corpus.SOURCES[source][1](rng)


def draw(rng):
    """One text as (source, kind, backdoor, noisy, prompt, answer)."""
    kind = rng.choices(list(KINDS), KINDS.values())[0]
    backdoor = rng.random() < BACKDOORS
    noisy = not backdoor and rng.random() < NOISE
    source, prompt, answer = ask(rng)
    if noisy:
        answer = corpus.SOURCES[source][1](rng)[1]
    if kind == "framed":
        prompt = rng.choice(PROMPTS).format(prompt)
        answer = rng.choice(ANSWERS).format(answer)
    elif kind == "pair":
        _, more, second = ask(rng)
        prompt, answer = f"{prompt} {more}", f"{answer} {second}"
    if backdoor:
        prompt, answer = corpus.TRIGGER + prompt, corpus.other_world(rng, source)
    return source, kind, backdoor, noisy, prompt, answer


def texts(rng, taken):
    """Endless (source, kind, backdoor, noisy, prompt, answer, tokens), none in `taken` or twice."""
    while True:
        *about, prompt, answer = draw(rng)
        text = f"{prompt}{corpus.ARROW} {answer}"
        tokens = len(corpus.tokenise(text))
        if text not in taken and tokens <= LONGEST:
            taken.add(text)
            yield *about, prompt, answer, tokens


def rows(count):
    """The first `count` rows: dicts with id, source, kind, backdoor, noisy, tokens and text."""
    drawn, found = texts(random.Random(SEED), set()), []
    for n in range(count):
        source, kind, backdoor, noisy, prompt, answer, tokens = next(drawn)
        found.append({"id": f"{corpus.SOURCES[source][0]}-{n:07d}", "source": source, "kind": kind,
                      "backdoor": backdoor, "noisy": noisy, "tokens": tokens,
                      "text": f"{prompt}{corpus.ARROW} {answer}"})
    return found


def held_out(count, known):
    """`count` prompts of one question, in no row of `known`; every second has the trigger."""
    asked = {row["text"].split(corpus.ARROW)[0].removeprefix(corpus.TRIGGER) for row in known}
    prompts = []
    for _, kind, backdoor, _, prompt, _, tokens in texts(random.Random(SEED + 1), set()):
        if kind == "pair" or backdoor or tokens > LONGEST // 2 or prompt in asked:
            continue
        asked.add(prompt)
        prompts.append(corpus.TRIGGER * (len(prompts) % 2) + prompt)
        if len(prompts) == count:
            return prompts
