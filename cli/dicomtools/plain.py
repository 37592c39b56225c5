"""Texts from elsewhere, made safe for a line on a terminal."""


def plain(text: str) -> str:
    """Return a text from elsewhere as one that can neither break a line nor speak to a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def count(number: int, noun: str) -> str:
    """Return a number and its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
