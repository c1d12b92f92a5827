"""No secret is printed: not by the settings, not by what refuses them, and not by a stack trace."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from cutstream.clients.objects import download
from cutstream.clients.objects.store import ObjectStore
from cutstream.errors import ConfigurationError
from cutstream.log import JsonLines
from cutstream.settings import LimitSettings, ObjectSettings, load, redacted
from tests.support.http_server import HttpServer, serving

CANARY = "canary-0123456789"
SECRETS = {
    "kafka": {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "user",
        "sasl_password": CANARY,
    },
    "objects": {"s3_access_key_id": "key", "s3_secret_access_key": CANARY},
    "worker": {"metrics_token": CANARY},
}


def test_settings_hide_their_secrets() -> None:
    settings = load(**SECRETS)
    for text in (repr(settings), str(settings), str(redacted(settings)), settings.model_dump_json()):
        assert CANARY not in text
    for section, values in settings:
        assert CANARY not in repr(values), section


@pytest.mark.parametrize(
    "sections",
    [
        {"objects": {"s3_endpoint": f"http://user:{CANARY}@host:9000"}},
        {"objects": {"s3_endpoint": f"http://host:9000/?token={CANARY}"}},
        {"objects": {"s3_endpoint": f"http://user:a/b@{CANARY}@host:9000"}},
        {"objects": {"destination": f"s3://user:{CANARY}@bucket/x"}},
        {"objects": {"destination": f"https://user:{CANARY}@bucket/x"}},
        {"objects": {"allowed_hosts": (f"user:{CANARY}@host",)}},
        {"objects": {"allowed_buckets": (f"s3://user:{CANARY}@bucket",)}},
        {"objects": {"s3_secret_access_key": CANARY}},
        {"objects": {"s3_access_key_id": "key", "s3_secret_access_key": f"{CANARY}\n"}},
        {"objects": {"s3_access_key_id": "key", "s3_secret_access_key": [CANARY]}},
        {"triton": {"url": f"user:{CANARY}@host:8001"}},
        {"triton": {"url": f"grpc://user:{CANARY}@host:8001"}},
        {"kafka": {"bootstrap_servers": f"user:{CANARY}@host:9092"}},
        {"kafka": {"bootstrap_servers": f"kafka://user:{CANARY}@host:9092,other:9092"}},
        {"kafka": {"sasl_password": CANARY}},
        {"worker": {"host": f"user:{CANARY}@host"}},
        {"worker": {"metrics_token": f"{CANARY} é"}},
        {"worker": {"metrics_token": CANARY[:15]}},
    ],
)
def test_settings_that_are_refused_hide_their_secrets(sections: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ObjectStore(load(**sections).objects, LimitSettings())
    assert CANARY[:15] not in str(refused.value)
    assert "CUTSTREAM_" in str(refused.value), "it still names the setting"


@pytest.mark.parametrize("page", ["files/photo", "redirects?to=/files/photo"])
def test_a_stack_trace_from_deep_inside_a_download_hides_the_query(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(download, "unpacked", bug)
    store = ObjectStore(ObjectSettings(allow_private_addresses=True), LimitSettings())
    with serving(HttpServer()) as server:
        server.files["photo"] = b"a photo"
        sign = "&" if "?" in page else "?"
        with pytest.raises(KeyError) as raised:
            store.fetch(server.url(f"{page}{sign}X-Amz-Signature={CANARY}"))
    record = logging.makeLogRecord({"msg": "unexpected error", "exc_info": raised._excinfo})
    for text in (JsonLines().format(record), "".join(traceback.format_exception(raised.value))):
        assert "a bug" in text
        assert CANARY not in text
