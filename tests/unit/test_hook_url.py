"""Where a tenant's hook may be: what is written in its URL, however it is encoded."""

import pytest

from qibai.core.content import ContentPolicy, Hook
from qibai.core.errors import NumberNotAllowed


@pytest.mark.parametrize(
    "where",
    [
        "13845670001",
        "%31%33845670001",
        "%2531%2533845670001",
        "%252531%252533845670001",
        "138+4567+0001",
        "138%204567%200001",
        "%2B8613845670001",
        "%EF%BC%91%EF%BC%93845670001",
    ],
)
@pytest.mark.parametrize("place", ["https://shop.example/{}", "https://shop.example/?to={}"])
def test_a_real_number_in_a_hooks_url_is_refused_however_it_is_encoded(place: str, where: str) -> None:
    with pytest.raises(NumberNotAllowed):
        ContentPolicy(hook=Hook.ASK, url=place.format(where)).check()


@pytest.mark.parametrize(
    "url", ["https://shop.example/a%20b?x=%7B1%7D", "https://shop.example/100%25", "https://shop.example/%"]
)
def test_an_encoded_url_without_a_number_is_taken(url: str) -> None:
    ContentPolicy(hook=Hook.ASK, url=url).check()
