"""Names of containers: which are valid, and the ones we make up (adjective_surname)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from pyodcr.errors import UsageError

VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")

_ADJECTIVES = """
able agile airy amber ample apt ardent azure balmy blithe bold brave breezy bright brisk candid careful cheery
civil clear clever cogent coral cosy crisp curious dapper daring deft dewy eager early earnest easy elated even
fair fleet fluent fond frank free fresh gentle glad golden gracious hardy hazel hearty humble ivory jolly jovial
keen kind leafy lively loyal lucid lunar mellow merry mild mindful neat nimble noble olive patient peaceful placid
plucky polite prompt proud quick quiet ready robust rosy rustic sage sandy serene sharp silent simple sincere snowy
solar solid spry stable steady still stoic sunny swift tender tidy topaz tranquil true trusty upbeat valiant vivid
warm wise witty zesty
"""

# Explorers of ice, sea and cave, and people who kept things cold, still or alive in between.
_SURNAMES = """
amundsen andree bancroft banks baret barents barrow bellingshausen bering birdseye bonington borchgrevink byrd
cabot cady cartier casteret charcot chelyuskin cherry cook cousteau crean crozier cullen davis dezhnev drake drebbel
dufek earhart edison eielson ellsworth evans faraday filchner flinders franklin fraser frobisher fuchs gerlache
gonzalez gorrie hanssen harrison hayes hedin henson herbert hillary hooper hudson humboldt ives kelvin kukuczka
lambert laperouse larsen linde lyakhov mackenzie malaurie markham martel mawson mcclintock messner minik nansen
nares nobile nordenskjold norgay oates onnes parry payer peary perkins piccard pytheas rae rasmussen ross rymill
scoresby scott sedov shackleton siple sverdrup tabei tasman thule toll torell tudor tyndall vancouver vespucci
wallace wegener weddell wilkes wilson wisting worsley wrangel zeehaen
"""


def validate(name: str) -> str:
    """``name`` without the leading slash Docker's API adds; Podman's rule and words."""
    name = name.removeprefix("/")
    if not VALID.match(name):
        raise UsageError("names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument", hint=f'"{name}" does not')
    return name


def generate(is_taken: Callable[[str], bool]) -> str:
    """A name that is not taken; digits are added when the plain ones run out."""
    attempt = 0
    while True:
        digits = "" if attempt < 10 else str(random.randrange(10 ** (attempt // 10)))
        name = f"{random.choice(_ADJECTIVES.split())}_{random.choice(_SURNAMES.split())}{digits}"
        if not is_taken(name):
            return name
        attempt += 1
