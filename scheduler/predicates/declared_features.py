"""Features that a pod needs of its node's kubelet (KEP-5328).

Sources (1.37): ``plugins/nodedeclaredfeatures`` and ``component-helpers/nodedeclaredfeatures``. The API
server keeps the fields that ask for a feature only where it knows them: an older cluster asks for none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims
from scheduler.predicates.predicate import Mask, Predicate


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    if set(shape.features) <= node.features:
        return None
    return "node(s) didn't match Pod's required features"


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    if not shape.features:
        return None
    asked = set(shape.features)
    return np.fromiter((asked <= node.features for node in nodes), dtype=np.bool_, count=len(nodes))


RULE = Predicate(name="NodeDeclaredFeatures", why=why, mask=mask)
