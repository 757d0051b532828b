"""The unmodified AWS CLI and boto3 of Debian, pointed at a relay; and signatures made by hand, for what they would never send."""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import subprocess

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .relay import PATIENCE

REGION = "eu-hawser-1"


class Key:
    """An access key of a user."""

    def __init__(self, client, user):
        made = client.json("key", "create", user)
        self.user, self.id, self.secret = user, made["AccessKeyId"], made["SecretAccessKey"]


def endpoint(relay, host="127.0.0.1"):
    return f"https://{host}:{relay.port}"


def client(relay, key, retries=0, secret=None, **config):
    """boto3's client of SSM. retries: attempts beyond the first, of those that it takes for worth it."""
    return boto3.session.Session().client(
        "ssm", endpoint_url=endpoint(relay), region_name=REGION, aws_access_key_id=key.id,
        aws_secret_access_key=secret or key.secret, verify=relay.ca.cert,
        config=Config(retries={"max_attempts": retries}, read_timeout=PATIENCE, connect_timeout=PATIENCE, **config))


def failure(call, **kwargs):
    """(code, message, status, attempts beyond the first) of a call that must fail."""
    try:
        call(**kwargs)
    except ClientError as e:
        answer = e.response
        meta = answer["ResponseMetadata"]
        return answer["Error"]["Code"], answer["Error"]["Message"], meta["HTTPStatusCode"], meta["RetryAttempts"]
    raise AssertionError("the call succeeded")


class Cli:
    """`aws ssm`."""

    def __init__(self, base, relay, key, host="127.0.0.1"):
        self.env = {
            "PATH": "/usr/bin:/bin", "HOME": str(base), "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret, "AWS_DEFAULT_REGION": REGION, "AWS_CA_BUNDLE": relay.ca.cert,
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "LANG": "C.UTF-8"}
        self.endpoint = endpoint(relay, host)

    def run(self, *args):
        return subprocess.run(
            ["/usr/bin/aws", "--endpoint-url", self.endpoint, "ssm", *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, timeout=PATIENCE * 2)

    def ok(self, *args):
        """What a command says that must succeed: decoded, or None when it says nothing."""
        done = self.run(*args)
        assert done.returncode == 0, f"aws ssm {' '.join(args)}: exit {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def fails(self, code, *args):
        """The message of a command that the relay refuses with that code."""
        done = self.run(*args)
        assert done.returncode == 254, f"aws ssm {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert f"An error occurred ({code}) when calling" in done.stderr, done.stderr
        return done.stderr.partition(" operation: ")[2].strip()


# --- by hand ---------------------------------------------------------------------------------------


def _mac(key, text):
    return hmac.digest(key, text.encode(), hashlib.sha256)


class Request:
    """A signed request as the AWS CLI makes it, to be changed before or after it is signed."""

    def __init__(self, relay, key, operation, body=b"{}", when=None):
        self.relay, self.key, self.body = relay, key, body if isinstance(body, bytes) else json.dumps(body).encode()
        when = when or datetime.datetime.now(datetime.timezone.utc)
        self.date = when.strftime("%Y%m%dT%H%M%SZ")
        self.scope = [self.date[:8], REGION, "ssm", "aws4_request"]
        self.headers = {
            "host": f"127.0.0.1:{relay.port}", "x-amz-date": self.date,
            "x-amz-target": f"AmazonSSM.{operation}", "content-type": "application/x-amz-json-1.1"}
        self.signed = sorted(self.headers)

    def sign(self):
        names = ";".join(self.signed)
        text = "POST\n/\n\n" + "".join(
            f"{name}:{' '.join(self.headers[name].split())}\n" for name in self.signed) + "\n" + names + "\n" \
            + hashlib.sha256(self.body).hexdigest()
        text = "\n".join(
            ["AWS4-HMAC-SHA256", self.date, "/".join(self.scope), hashlib.sha256(text.encode()).hexdigest()])
        key = ("AWS4" + self.key.secret).encode()
        for part in self.scope:
            key = _mac(key, part)
        self.headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key.id}/{'/'.join(self.scope)}, SignedHeaders={names}, "
            f"Signature={_mac(key, text).hex()}")
        return self

    def bytes(self, path="/"):
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        if "content-length" not in self.headers:
            head += f"content-length: {len(self.body)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def send(self, path="/", sock=None):
        """(status, headers, decoded body)"""
        if sock is not None:
            sock.sendall(self.bytes(path))
            return answer(sock)
        with self.relay.connect() as sock:
            sock.sendall(self.bytes(path))
            return answer(sock)

    def code(self, path="/"):
        """(status, the error's code)"""
        status, _, body = self.send(path)
        return status, body["__type"]


def answer(sock):
    r = http.client.HTTPResponse(sock)
    r.begin()
    body = r.read()
    return r.status, r.headers, json.loads(body)
