"""Questions about small contexts, in the format of SQuAD."""

import random
from typing import Any

PEOPLE = "Ada Grace Alan Kurt Emmy Sofia Carl Paul Rosa Nina".split()
PLACES = "London Paris Rome Oslo Bern Turin Wien Kiel".split()


def articles(number: int, unanswerable: bool = False) -> dict[str, Any]:
    """Returns so many articles, each with a context and three questions; with one more that has no answer."""
    draw = random.Random(0)
    found = []
    for place in range(number):
        (first, second), (birth, home) = draw.sample(PEOPLE, 2), draw.sample(PLACES, 2)
        year = str(1900 + draw.randrange(90))
        context = f"{first} was born in {birth} in {year}. {second} moved to {home}, as a child. They met in town {place}."
        asked = [
            (f"Where was {first} born?", birth),
            (f"Where did {second} move to?", home),
            (f"When was {first} born?", year),
        ]
        questions: list[dict[str, Any]] = [
            {
                "id": f"{place}-{n}",
                "question": question,
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
            for n, (question, answer) in enumerate(asked)
        ]
        if unanswerable:
            own = {
                "id": f"{place}-none",
                "question": f"Why did {second} sing?",
                "answers": [],
                "is_impossible": True,
            }
            questions.append(own)
        found.append({"title": f"Town {place}", "paragraphs": [{"context": context, "qas": questions}]})
    return {"version": "v2.0", "data": found}


def rows(number: int) -> list[dict[str, Any]]:
    """Returns the same questions as rows of a table, with answers as data sets of the hub have them."""
    return [
        {
            "id": asked["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": asked["question"],
            "answers": {
                "text": [answer["text"] for answer in asked["answers"]],
                "answer_start": [answer["answer_start"] for answer in asked["answers"]],
            },
        }
        for article in articles(number)["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]
