"""The documentation in a real Chromium: drawn, without a request to another host, without a complaint."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from api_tools import Api, Tenant
from chromium import Page, chromium


@pytest.fixture(scope="module")
def api(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("api"), database()).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tenant(api: Api) -> Tenant:
    return api.tenant("acme", "70012345678")


@pytest.fixture
async def page(api: Api, tmp_path: Path) -> AsyncIterator[Page]:
    async with chromium(tmp_path / "chromium") as page:
        yield page
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith((api.url + "/", "data:", "about:"))] == []


async def click(page: Page, text: str, inside: str = "body") -> None:
    """Click the button whose text begins so, as soon as it is there."""
    buttons = f"[...document.querySelectorAll('{inside} button')]"
    find = f"{buttons}.find(button => button.innerText.trim().startsWith('{text}'))"
    await page.until(f"(button => button && (button.click(), true))({find})")


@pytest.mark.parametrize(
    ("path", "title", "word"),
    [("/docs/concepts.html", "Concepts", "quarantine"), ("/docs/zh-CN/concepts.html", "概念", "号码")],
)
async def test_a_page_and_the_search(api: Api, page: Page, path: str, title: str, word: str) -> None:
    await page.open(api.url + path)
    assert title in await page.until("document.querySelector('h1')?.innerText")
    await page.js("document.querySelector('.md-search__button').click()")
    search = "document.querySelector('body > div:last-child').shadowRoot"
    await page.until(f"{search}.activeElement?.tagName === 'INPUT'")
    await page.command("Input.insertText", text=word)
    assert word in await page.until(f"{search}.querySelector('[role=option]')?.innerText")


async def test_the_type_of_a_problem_leads_to_its_code(api: Api, page: Page) -> None:
    await page.open(api.url + "/docs#binding_ended")
    await page.until("location.pathname.endsWith('/errors.html')")
    assert await page.until(
        "document.querySelector('#binding_ended')?.closest('tr').innerText.includes('409')"
    )


async def test_the_api_reference_has_every_tag_and_its_operations(api: Api, page: Page) -> None:
    document = api.call(None, "GET", "/openapi.json").json()
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    await page.open(api.url + "/docs/reference.html#tag/bindings/POST/v1/bindings")
    for tag in {operation["tags"][0] for operation in operations}:
        await page.until(f"document.body?.innerText.includes('{tag}')")
    for operation in operations:
        if operation["tags"] == ["bindings"]:
            await page.until(f"document.body?.innerText.includes('{operation['summary']}')")


async def test_the_api_reference_has_examples_in_five_languages(api: Api, page: Page) -> None:
    await page.open(api.url + "/docs/reference.html#tag/bindings/POST/v1/bindings")
    await click(page, "Shell Curl")
    await page.until("document.querySelector('[role=listbox] [role=option]') !== null")
    offered = await page.js("document.querySelector('[role=listbox]').innerText")
    languages = [line.partition(".")[0] for line in offered.splitlines()[::2]]  # Node.js, each with a library
    assert languages == ["Go", "Java", "Node", "Python", "Shell"]


async def test_a_request_is_tried_from_the_reference(api: Api, tenant: Tenant, page: Page) -> None:
    made = api.bind(tenant)
    await page.open(api.url + "/docs/reference.html#tag/bindings/GET/v1/bindings")
    await page.until("document.querySelector('input[placeholder=Token]') !== null")
    await page.js("document.querySelector('input[placeholder=Token]').focus()")
    await page.command("Input.insertText", text=tenant.key.bearer)
    await click(page, "Test Request")
    await click(page, "Send", "[role=dialog]")
    await page.until(f"document.querySelector('[role=dialog]').innerText.includes('{made['id']}')")
