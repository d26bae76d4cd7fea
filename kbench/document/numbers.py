"""Numbers as plain text."""


def heading(text: str) -> str:
    """Return text with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def number(value: float | None, unit: str) -> str:
    """Return a value in its unit's usual form: fractions as percent with one decimal, else three
    decimals.
    """
    if value is None:
        return "–"
    scaled, digits = (100 * value, 1) if unit == "fraction" else (value, 3)
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(scaled, digits) + 0.0:.{digits}f}".replace("-", "−")


def unit_name(unit: str) -> str:
    """Return what to write behind a number of a unit."""
    return {"fraction": "%", "nats": "nats", "correlation": ""}[unit]
