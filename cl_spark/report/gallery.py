"""Galleries: examples as cards, each with what people look at and a few words, alone or in groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """An example.

    Attributes:
        title: its id in words, as in "id 7".
        media: images and texts by the name of their column, as `report.media.shown` gives them.
        facts: short values by their names, such as a label or a score.
        note: a sentence about it.
    """

    title: str
    media: Mapping[str, Mapping[str, str]]
    facts: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class CardGroup:
    """Examples that belong together, side by side.

    Attributes:
        title: its name.
        cards: the examples.
        note: a sentence about it.
        alert: a sentence that must not be missed.
    """

    title: str
    cards: Sequence[Card]
    note: str = ""
    alert: str = ""


@dataclass(frozen=True)
class Gallery:
    """Examples to look at: cards of single ones, then groups.

    Attributes:
        name: of the element that holds it, `gallery-<name>`.
        cards: single examples, in their order.
        groups: groups of examples, in their order.
    """

    name: str
    cards: Sequence[Card] = ()
    groups: Sequence[CardGroup] = ()

    def __bool__(self) -> bool:
        """Tell whether it has cards."""
        return bool(self.cards or self.groups)

    @property
    def has_texts(self) -> bool:
        """Whether there are texts to read and no images: its cards are wider."""
        cards = [*self.cards, *(card for group in self.groups for card in group.cards)]
        cells = [cell for card in cards for cell in card.media.values()]
        return bool(cells) and not any("image" in cell for cell in cells)
