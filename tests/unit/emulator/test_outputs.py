# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs: who may fetch what, for how long, and how refusals look."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.emulator.api import BASE, Api, urls


class TestPresignedUrls:
    def test_a_url_is_fetched_without_a_key(self, api: Api) -> None:
        response = api.download(urls(api.finished())[0])
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/png"
        assert response.headers["content-length"] == str(len(response.content))

    def test_it_points_at_the_host_that_was_asked_and_looks_like_s3(self, api: Api) -> None:
        run = api.finished(num_images=2, output_format="jpeg")
        parts = [urlsplit(url) for url in urls(run)]
        assert {f"{part.scheme}://{part.netloc}" for part in parts} == {BASE}
        assert [part.path for part in parts] == [f"/outputs/{run['id']}/{index}.jpg" for index in (0, 1)]
        query = parse_qs(parts[0].query)
        assert {"X-Amz-Algorithm", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature"} <= query.keys()
        assert query["X-Amz-Expires"] == ["86400"]

    def test_an_authorization_header_beside_the_signature_is_400_as_at_s3(self, api: Api) -> None:
        response = api.http.get(urls(api.finished())[0])
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/xml"
        assert "<Code>InvalidArgument</Code>" in response.text
        assert "Only one auth mechanism allowed" in response.text

    def test_it_expires_while_a_new_read_gives_one_that_works(self) -> None:
        api = Api(url_ttl=60)
        run = api.finished()
        api.clock.advance(60)
        assert api.download(urls(run)[0]).status_code == 200
        api.clock.advance(1.1)
        response = api.download(urls(run)[0])
        assert response.status_code == 403
        assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in response.text
        assert api.download(urls(api.run(run["id"]))[0]).status_code == 200

    def test_a_time_scale_does_not_shorten_the_life_of_a_url(self) -> None:
        api = Api(time_scale=1000)
        run_id = api.created()
        api.clock.advance(1)
        run = api.run(run_id)
        api.clock.advance(86_000)
        assert api.download(urls(run)[0]).status_code == 200

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (("X-Amz-Signature=", "X-Amz-Signature=0"), "SignatureDoesNotMatch"),
            (("X-Amz-Expires=86400", "X-Amz-Expires=999999"), "SignatureDoesNotMatch"),
            (("/0.png", "/1.png"), "SignatureDoesNotMatch"),
            (("X-Amz-Signature", "Signature"), "AccessDenied"),
        ],
    )
    def test_a_url_that_was_tampered_with_is_403(self, api: Api, change: tuple[str, str], code: str) -> None:
        response = api.download(urls(api.finished())[0].replace(*change))
        assert response.status_code == 403
        assert f"<Code>{code}</Code>" in response.text

    def test_another_method_does_not_match_the_signature(self, api: Api) -> None:
        assert api.client(None).head(urls(api.finished())[0]).status_code == 403

    def test_a_picture_of_a_forgotten_run_is_404(self, api: Api) -> None:
        url = urls(api.finished())[0]
        api.emulator.reset()
        response = api.download(url)
        assert response.status_code == 404
        assert "<Code>NoSuchKey</Code>" in response.text


class TestOutputFaults:
    def faulty(self, **fault: Any) -> tuple[Api, str]:
        api = Api()
        run = api.finished()
        api.emulator.add_fault(route="output", **fault)
        return api, urls(run)[0]

    def test_an_url_may_expire_before_its_time(self) -> None:
        api, url = self.faulty(effect="expired", times=1)
        assert "Request has expired" in api.download(url).text
        assert api.download(url).status_code == 200

    def test_a_read_may_hand_out_urls_that_have_already_expired(self) -> None:
        api = Api()
        run_id = api.finished()["id"]
        api.emulator.add_fault(route="get", effect="expired", times=1)
        assert api.download(urls(api.run(run_id))[0]).status_code == 403
        assert api.download(urls(api.run(run_id))[0]).status_code == 200

    def test_a_proxy_may_answer_with_a_page_instead_of_a_picture(self) -> None:
        api, url = self.faulty(effect="html")
        response = api.download(url)
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/html"
        assert response.content.startswith(b"<!doctype html>")

    def test_a_picture_may_arrive_as_garbage(self) -> None:
        api, url = self.faulty(effect="malformed")
        response = api.download(url)
        assert response.headers["content-type"] == "image/png"
        assert not response.content.startswith(b"\x89PNG")

    def test_an_oversize_body_announces_its_length_and_really_goes_on(self) -> None:
        api, url = self.faulty(effect="oversize", size=50 * 1024**3)
        with api.client(None).stream("GET", url) as response:
            assert response.headers["content-length"] == str(50 * 1024**3)
            received = 0
            for piece in response.iter_bytes():
                received += len(piece)
                if received > 1_000_000:
                    break
        assert received > 1_000_000

    def test_an_oversize_body_may_come_without_a_length(self) -> None:
        api, url = self.faulty(effect="oversize", size=300_000, chunked=True)
        response = api.download(url)
        assert "content-length" not in response.headers
        assert len(response.content) == 300_000
