"""The page about the API: what an answer points to is there."""

from cloudapi.errors import ApiError
from cloudapi.problems import FRAMEWORK_CODES
from cloudapi.routes.docs import render_page


def codes_of(kind: type[ApiError]) -> set[str]:
    return {kind.code}.union(*(codes_of(each) for each in kind.__subclasses__()))


def test_every_problem_has_its_place_on_the_page() -> None:
    """Its type is an address there; a link that leads to nothing explains nothing."""
    document = {"info": {"title": "t", "version": "1", "description": "d"}, "paths": {}, "components": {"schemas": {}}}

    page = render_page(document)

    codes = codes_of(ApiError) | set(FRAMEWORK_CODES.values())
    assert {code for code in codes if page.count(f'id="problem-{code}"') != 1} == set()
