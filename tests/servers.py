# SPDX-License-Identifier: Apache-2.0
"""Servers that tests talk to over real HTTP, on free loopback ports: an S3 API (moto)."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class S3Server:
    """moto's S3 in a thread of this process. `boto3` is configured for it; so is `connection_json`."""

    endpoint: str
    _server: Any

    @classmethod
    def start(cls) -> S3Server:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        return cls(f"http://{host}:{port}", server)

    def stop(self) -> None:
        self._server.stop()

    def reset(self) -> None:
        httpx.post(f"{self.endpoint}/moto-api/reset", trust_env=False).raise_for_status()

    @property
    def connection_json(self) -> str:
        """For AIRFLOW_CONN_AWS_DEFAULT."""
        extra = {
            "endpoint_url": self.endpoint,
            "region_name": "us-east-1",
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        }
        return json.dumps({"conn_type": "aws", "login": "test", "password": "test-secret", "extra": extra})

    @property
    def client(self) -> Any:
        """boto3's client for this server."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test-secret",
            config=Config(s3={"addressing_style": "path"}),
        )

    def bucket(self, name: str = "brand-assets") -> str:
        """Makes a bucket; gives its name."""
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def read(self, bucket: str, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def head(self, bucket: str, key: str) -> dict[str, Any]:
        """Size, content type, cache control, metadata, ... of one object."""
        head: dict[str, Any] = self.client.head_object(Bucket=bucket, Key=key)
        return head
