"""Tags of tokens: classes such as B-PER and I-PER, which mark where entities begin and go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cl_spark.errors import ConfigurationError
from cl_spark.kernels.entities import TagArrays

OUTSIDE = "O"
"""The class of tokens that belong to no entity."""

SCHEMES = {"BIO": "BI", "BIOES": "BIES"}
"""Prefixes of the tags of each scheme."""


@dataclass(frozen=True)
class TagScheme:
    """A scheme of tags with its classes: their prefixes, and the kinds of entities.

    Attributes:
        name: "BIO" or "BIOES".
        class_names: the K classes.

    Raises:
        ConfigurationError: there is no such scheme, or a class is no tag of it.

    Example:
        >>> TagScheme("BIO", ["O", "B-PER", "I-PER"]).entities
        ['O', 'PER', 'PER']
    """

    name: str
    class_names: Sequence[str]

    def __post_init__(self) -> None:
        if self.name not in SCHEMES:
            raise ConfigurationError(f"scheme={self.name!r} is unknown; choose one of {', '.join(SCHEMES)}")
        for name in self.class_names:
            prefix, dash, entity = name.partition("-")
            is_tag = len(prefix) == 1 and prefix in SCHEMES[self.name] and dash and entity
            if is_tag and entity == OUTSIDE:
                raise ConfigurationError(
                    f"class_names: {name!r} is a tag of entities called {OUTSIDE}, which means none: rename "
                    "them"
                )
            if name != OUTSIDE and not is_tag:
                tags = ", ".join(f"{letter}-..." for letter in SCHEMES[self.name])
                raise ConfigurationError(
                    f"class_names: {name!r} is no tag of the scheme {self.name}: tags are {tags} and O"
                )

    @property
    def entities(self) -> list[str]:
        """(K,) the kind of entity of each class; `OUTSIDE` of the one of none."""
        return [name if name == OUTSIDE else name[2:] for name in self.class_names]

    @property
    def arrays(self) -> TagArrays:
        """Prefixes and entities as arrays, with a last class, outside of entities, for labels of none."""
        order = list(dict.fromkeys([OUTSIDE, *self.entities]))
        prefixes = np.array([name[:-1][:1] for name in (*self.class_names, OUTSIDE)])  # "" of the class O
        return TagArrays(
            entity=np.array([order.index(entity) for entity in (*self.entities, OUTSIDE)], dtype=np.int32),
            begins=np.isin(prefixes, ["B", "S"]),
            ends=np.isin(prefixes, ["E", "S"]),
            entity_names=order,
            must_end=self.name == "BIOES",
        )


def merge_names(
    merge_classes: bool | Mapping[str, str], class_names: Sequence[str], scheme: str | None
) -> dict[str, str]:
    """Find which merged class each class belongs to.

    Args:
        merge_classes: True merges the tags of each kind of entity; else the new name of each class that gets
            one.
        class_names: the K classes.
        scheme: of the tags, which True needs.

    Returns:
        The new name of each class, in their order.

    Raises:
        ConfigurationError: a class does not exist, or True comes without a scheme.

    Example:
        >>> merge_names({"dog": "animal", "cat": "animal"}, ["dog", "cat", "car"], None)
        {'dog': 'animal', 'cat': 'animal', 'car': 'car'}
    """
    if isinstance(merge_classes, bool):
        if scheme is None:
            raise ConfigurationError(
                "merge_classes=True merges the tags of each entity, and needs scheme='BIO' or 'BIOES'; else "
                "pass the new name of each class"
            )
        return dict(zip(class_names, TagScheme(scheme, class_names).entities, strict=True))
    unknown = [name for name in merge_classes if name not in class_names]
    if unknown:
        raise ConfigurationError(
            f"merge_classes: {unknown[0]!r} is none of class_names, which are "
            f"{', '.join(map(repr, class_names))}"
        )
    return {name: merge_classes.get(name, name) for name in class_names}
