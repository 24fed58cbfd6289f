"""An environment as a person with a browser reaches it: login links, roles, and a DAG to press buttons for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from product import REGION, Product


@dataclass(frozen=True)
class Airflow:
    """One environment with a DAG, and how to log in to it."""

    product: Product
    name: str
    version: str

    @property
    def is_line_3(self) -> bool:
        return self.version.startswith("3.")

    @property
    def dag(self) -> str:
        return f"browsed_{self.version.replace('.', '_')}"

    def link(self, client: Any) -> str:
        """The address at which a person with this client's key logs in, once."""
        token = client.create_web_login_token(Name=self.name)
        return f"https://{token['WebServerHostname']}/aws_mwaa/aws-console-sso?login=true#{token['WebToken']}"

    def runs(self) -> int:
        """How many runs the DAG has had."""
        return int(self.product.rest(self.name, "GET", f"/dags/{self.dag}/dagRuns")["total_entries"])

    def client_of(self, role: str) -> Any:
        """A client with the key of a new user to whom IAM grants this role of this environment, and nothing else."""
        iam, user = self.product.iam, f"{role.lower()}-of-{self.name}"
        iam.create_user(UserName=user)
        allowed = {
            "Effect": "Allow",
            "Action": "airflow:CreateWebLoginToken",
            "Resource": f"arn:aws:airflow:{REGION}:000000000000:role/{self.name}/{role}",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=user, PolicyName="login", PolicyDocument=policy)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)
        endpoint = self.product.exports["AWS_ENDPOINT_URL"]
        return session.client("mwaa", endpoint_url=endpoint, config=Config(inject_host_prefix=False))
