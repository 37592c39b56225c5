"""The HTTP interface of the tag index: search, values, and what there is by study and series."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from dicomcore.ports import FoundInstance, IndexDb
from dicomcore.query import Query, parse_term
from dicomcore.tagpath import Path, parse_path, path_in_words
from dicomio.http import AnyRoute, Call, Nothing, Role, Route, decode_cursor, encode_cursor
from indexer.answers import (
    Hit,
    Hits,
    Instances,
    ListedInstance,
    Series,
    SeriesList,
    Statistics,
    Studies,
    Study,
    Told,
    Value,
    Values,
)
from indexer.inputs import AfterHit, AfterId, AfterValue, Filtered, SearchQuery, ValuesQuery

T = TypeVar("T")


def search_routes(index: IndexDb) -> Sequence[AnyRoute]:
    """Return the operations on the tag index."""
    handlers = _Handlers(index)
    return (
        Route(
            method="GET",
            template="/v1/search",
            handler=handlers.search,
            operation_id="search",
            role=Role.READER,
            summary="Instances of which every term holds, by any tag, also inside sequences",
            responses={200: Hits},
            query=SearchQuery,
            errors=(422,),
            tags=("search",),
        ),
        Route(
            method="GET",
            template="/v1/values",
            handler=handlers.values,
            operation_id="listValues",
            role=Role.READER,
            summary="The distinct values of an attribute, and of how many instances each is",
            responses={200: Values},
            query=ValuesQuery,
            errors=(422,),
            tags=("search",),
        ),
        Route(
            method="GET",
            template="/v1/studies",
            handler=handlers.studies,
            operation_id="listStudies",
            role=Role.READER,
            summary="Studies with at least one readable instance",
            responses={200: Studies},
            query=Filtered,
            errors=(422,),
            tags=("hierarchy",),
        ),
        Route(
            method="GET",
            template="/v1/series",
            handler=handlers.series,
            operation_id="listSeries",
            role=Role.READER,
            summary="Series with at least one readable instance",
            responses={200: SeriesList},
            query=Filtered,
            errors=(422,),
            tags=("hierarchy",),
        ),
        Route(
            method="GET",
            template="/v1/instances",
            handler=handlers.instances,
            operation_id="listInstances",
            role=Role.READER,
            summary="Readable versions of instances",
            responses={200: Instances},
            query=Filtered,
            errors=(422,),
            tags=("instances",),
        ),
    )


class _Handlers:
    def __init__(self, index: IndexDb) -> None:
        self._index = index

    async def search(self, call: Call[Nothing, SearchQuery]) -> Hits:
        asked = call.query
        query = Query(map(parse_term, asked.tag))
        after = decode_cursor(asked.cursor, AfterHit) if asked.cursor else None
        page = await self._index.search(
            query,
            asked.scope(),
            after=None if after is None else (after.series, after.instance),
            limit=asked.limit,
        )
        statistics = await self._statistics(query, asked) if asked.statistics else None
        asking = [path_in_words(term.path) for term in query.asked]
        following = None
        if page.next is not None:
            following = encode_cursor(AfterHit(series=page.next[0], instance=page.next[1]))
        return Hits(
            instances=tuple(_hit(one, asking) for one in page.instances),
            next=following,
            statistics=statistics,
        )

    async def values(self, call: Call[Nothing, ValuesQuery]) -> Values:
        asked = call.query
        path = _path(asked.tag)
        query = Query(map(parse_term, asked.where)) if asked.where else None
        after = decode_cursor(asked.cursor, AfterValue).value if asked.cursor else None
        found = await self._index.values(
            path, query, asked.scope(), after=after, limit=asked.limit + 1
        )
        page, more = _page(found, asked.limit)
        return Values(
            tag=path_in_words(path),
            values=tuple(
                Value(value=one.value, number_of_instances=one.number_of_instances) for one in page
            ),
            next=encode_cursor(AfterValue(value=page[-1].value)) if more else None,
        )

    async def studies(self, call: Call[Nothing, Filtered]) -> Studies:
        found = await self._index.studies(
            call.query.scope(), after=_after(call.query), limit=call.query.limit + 1
        )
        page, more = _page(found, call.query.limit)
        return Studies(
            studies=tuple(
                Study(
                    patient_id=one.patient_id,
                    study_instance_uid=one.study_instance_uid,
                    study_date=one.study_date,
                    study_description=one.study_description,
                    number_of_series=one.number_of_series,
                    number_of_instances=one.number_of_instances,
                )
                for _, one in page
            ),
            next=encode_cursor(AfterId(id=page[-1][0])) if more else None,
        )

    async def series(self, call: Call[Nothing, Filtered]) -> SeriesList:
        found = await self._index.series(
            call.query.scope(), after=_after(call.query), limit=call.query.limit + 1
        )
        page, more = _page(found, call.query.limit)
        return SeriesList(
            series=tuple(
                Series(
                    patient_id=one.patient_id,
                    study_instance_uid=one.study_instance_uid,
                    series_instance_uid=one.series_instance_uid,
                    modality=one.modality,
                    series_description=one.series_description,
                    number_of_instances=one.number_of_instances,
                )
                for _, one in page
            ),
            next=encode_cursor(AfterId(id=page[-1][0])) if more else None,
        )

    async def instances(self, call: Call[Nothing, Filtered]) -> Instances:
        found = await self._index.instances(
            call.query.scope(), after=_after(call.query), limit=call.query.limit + 1
        )
        page, more = _page(found, call.query.limit)
        return Instances(
            instances=tuple(_listed(one) for _, one in page),
            next=encode_cursor(AfterId(id=page[-1][0])) if more else None,
        )

    async def _statistics(self, query: Query, asked: SearchQuery) -> Statistics:
        found, counts = await asyncio.gather(
            self._index.count(query, asked.scope()), self._index.counts()
        )
        return Statistics(found=found, total=counts.instances - counts.unreadable)


def _path(tag: str) -> Path:
    """Return a path that may be written as a term that asks, as `search` takes it."""
    stripped = tag.rstrip()
    return parse_path(stripped[:-2] if stripped.endswith("=?") else stripped)


def _after(page: Filtered) -> int:
    return decode_cursor(page.cursor, AfterId).id if page.cursor else 0


def _page(found: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """Return what is shown, and whether one more than that was found: there is another page."""
    return found[:limit], len(found) > limit


def _listed(one: FoundInstance) -> ListedInstance:
    return ListedInstance(
        patient_id=one.patient_id,
        study_instance_uid=one.ref.study_instance_uid,
        series_instance_uid=one.ref.series_instance_uid,
        sop_instance_uid=one.ref.sop_instance_uid,
        modality=one.modality,
        object_key=one.object_key,
    )


def _hit(one: FoundInstance, asking: Sequence[str]) -> Hit:
    told = zip(asking, one.told, strict=bool(one.told))
    return Hit(
        **_listed(one).model_dump(),
        told=tuple(Told(tag=tag, values=values) for tag, values in told),
    )
