from __future__ import annotations

import pytest

from cutstream.settings import GatewaySettings, PageSettings, Settings
from deploy.local.running import linked


def test_the_pages_of_a_local_stack_link_to_each_other() -> None:
    settings = linked(Settings(page=PageSettings(port=9201), gateway=GatewaySettings(port=8181, prefix="/cut")))
    assert settings.page.gateway == "http://127.0.0.1:8181/cut/"
    assert settings.gateway.live_page == "http://127.0.0.1:9201/"


def test_a_link_that_is_set_stays_and_there_is_none_to_a_page_that_is_not_served() -> None:
    page = PageSettings(enabled=False, gateway="https://cut.example.org/")
    settings = linked(Settings(page=page))
    assert settings.page.gateway == "https://cut.example.org/"
    assert settings.gateway.live_page == ""


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//evil.example", "http://a b", "data:text/html,x"])
def test_a_page_links_to_web_addresses_only(address: str) -> None:
    with pytest.raises(ValueError, match="LIVE_PAGE"):
        GatewaySettings(live_page=address)
    with pytest.raises(ValueError, match="PAGE__GATEWAY"):
        PageSettings(gateway=address)
