"""Which presentation contexts instances need to be sent, and on which of them each one goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dicomcore.ports import Outgoing
from dicomcore.transcode import UNCOMPRESSED
from dicomio.pacs.contexts import MAX_CONTEXTS, Context
from dicomio.pacs.negotiation import AcceptedContext


def chunks_of(instances: Iterable[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Yield the instances in their order, cut where one association has no context left.

    Some peers accept one context for each pair of SOP class and transfer syntax only; so every pair
    that occurs is asked for by itself, and a chunk has at most 128 contexts (PS3.8 9.3.2.2).
    """
    chunk: list[Outgoing] = []
    needed: dict[tuple[str, bool], set[str]] = {}
    for instance in instances:
        if _number(needed, instance) > MAX_CONTEXTS:
            yield chunk
            chunk, needed = [], {}
        _need(needed, instance)
        chunk.append(instance)
    if chunk:
        yield chunk


def contexts_for(instances: Iterable[Outgoing]) -> Sequence[Context]:
    """Return a context for each SOP class in each transfer syntax that occurs, and fall-backs.

    Of a class that occurs uncompressed, one more context offers the other uncompressed syntaxes
    together: the peer takes the one it likes. Implicit VR Little Endian is among them or is asked
    for anyway, as PS3.5 10.1 demands.
    """
    needed: dict[tuple[str, bool], set[str]] = {}
    for instance in instances:
        _need(needed, instance)
    return [
        Context(sop_class_uid, syntaxes)
        for (sop_class_uid, plain), own in needed.items()
        for syntaxes in _syntaxes(own, plain=plain)
    ]


def chosen_context(
    instance: Outgoing,
    proposed: Sequence[Context],
    accepted: Callable[[int], AcceptedContext | None],
) -> AcceptedContext | str:
    """Return the context to send an instance on, or why there is none.

    Its own transfer syntax where that was accepted; otherwise, if it is uncompressed, another
    uncompressed one.
    """
    agreed = [
        context
        for index, asked in enumerate(proposed)
        if asked.abstract_syntax == instance.sop_class_uid
        and (context := accepted(2 * index + 1)) is not None
    ]
    by_syntax: Mapping[str, AcceptedContext] = {c.transfer_syntax: c for c in reversed(agreed)}
    wanted = [instance.transfer_syntax_uid]
    if instance.transfer_syntax_uid in UNCOMPRESSED:
        wanted += UNCOMPRESSED
    for syntax in wanted:
        if syntax in by_syntax:
            return by_syntax[syntax]
    if agreed:
        return "the peer does not accept the transfer syntax"
    return "the peer does not accept the SOP class"


def _need(needed: dict[tuple[str, bool], set[str]], instance: Outgoing) -> None:
    plain = instance.transfer_syntax_uid in UNCOMPRESSED
    syntaxes = needed.setdefault((instance.sop_class_uid, plain), set())
    syntaxes.add(instance.transfer_syntax_uid)


def _number(needed: Mapping[tuple[str, bool], set[str]], more: Outgoing) -> int:
    """Return how many contexts are needed for what there is and one more."""
    key = more.sop_class_uid, more.transfer_syntax_uid in UNCOMPRESSED
    own = {**needed, key: needed.get(key, set()) | {more.transfer_syntax_uid}}
    return sum(len(_syntaxes(syntaxes, plain=plain)) for (_, plain), syntaxes in own.items())


def _syntaxes(own: Iterable[str], *, plain: bool) -> Sequence[tuple[str, ...]]:
    alone = [(syntax,) for syntax in sorted(own)]
    others = tuple(syntax for syntax in UNCOMPRESSED if (syntax,) not in alone)
    return [*alone, others] if plain and others else alone
