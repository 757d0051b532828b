"""An S3-compatible storage for tests, which proves every signature with botocore's signer, and fails when it is told to."""

import hashlib
import os
import re
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from . import certs
from .relay import PATIENCE

KEY_ID, SECRET = "AKIDSTORAGE", "a/secret+of/the:storage"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # connections are cut here on purpose


class Storage:
    """objects is what was put, by "bucket/key". plan(handler) may answer a request itself; it returns true then."""

    def __init__(self, base, tls=True, buckets=("logs",)):
        self.base = str(base)
        self.objects, self.parts, self.buckets = {}, {}, set(buckets)
        self.begun = 0     # uploads in parts
        self.wrong = []    # requests whose signature is not what botocore makes of them
        self.seen = []     # methods and paths
        self.plan = lambda handler: False
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.storage = self
        self.ca = self.tls = None
        self.port = self.server.server_address[1]
        if tls:
            self.use_certificate(*self.make_certificate("storage"))
            self.ca = os.path.join(self.base, "storage.crt")
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def make_certificate(self, name):
        key, cert = (os.path.join(self.base, f"{name}.{ext}") for ext in ("key", "crt"))
        certs.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                      "-out", cert, "-days", "2", "-subj", f"/CN={name}",
                      "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:logs.localhost")
        return cert, key

    def use_certificate(self, cert, key):
        """Of connections from now on."""
        if self.tls is None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.server.socket = self.tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.tls.load_cert_chain(cert, key)

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def settings(self, **more):
        """For a relay's configuration; its secret is in a file that nobody else reads."""
        secret = os.path.join(self.base, "s3.secret")
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(SECRET + "\n")
        return dict(s3_endpoint=self.url, s3_access_key_id=KEY_ID, s3_secret_file=secret, s3_ca_file=self.ca or "",
                    s3_region="eu-test-1", **more)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def log_message(self, *args):
        pass

    @property
    def storage(self):
        return self.server.storage

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status, code, message="because the test says so"):
        self.answer(status, f"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())

    def cut(self):
        """In the middle of the request's body."""
        self.rfile.read(1)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def hang(self, seconds):
        time.sleep(seconds)
        self.close_connection = True

    # --- signatures --------------------------------------------------------------------------------

    def proven(self, body):
        """Whether botocore would have signed it so, over the whole of it."""
        given = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, *SignedHeaders=([^,]+), *Signature=(\w{64})",
            self.headers.get("Authorization", ""))
        if given is None or given[1] != KEY_ID:
            return False
        signed = given[4].split(";")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed):
            return False
        if self.headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            return False
        request = AWSRequest(
            method=self.command, url=f"http://{self.headers['Host']}{self.path}",
            headers={name: self.headers[name] for name in signed})
        request.context["timestamp"] = self.headers["x-amz-date"]
        signer = S3SigV4Auth(Credentials(KEY_ID, SECRET), "s3", given[3])
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return given[2] == self.headers["x-amz-date"][:8] and signer.signature(text, request) == given[5]

    # --- requests ----------------------------------------------------------------------------------

    def handle_any(self):
        url = urlsplit(self.path)
        storage = self.storage
        with storage.lock:
            storage.seen.append((self.command, self.path))
        if storage.plan(self):
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.proven(body):
            storage.wrong.append((self.command, self.path, dict(self.headers)))
            self.fail(403, "SignatureDoesNotMatch")
            return
        path, query = unquote(url.path)[1:], parse_qs(url.query, keep_blank_values=True)
        bucket, dot, _ = self.headers["Host"].partition(".localhost")
        if dot:
            path = f"{bucket}/{path}"
        if path.partition("/")[0] not in storage.buckets:
            self.fail(404, "NoSuchBucket", "The specified bucket does not exist")
            return
        with storage.lock:
            self.act(path, query, body)

    def act(self, path, query, body):
        parts = self.storage.parts
        upload = query.get("uploadId", [None])[0]
        if "uploads" in query:
            self.storage.begun += 1
            upload = f"up/{self.storage.begun}+="
            parts[upload] = {}
            self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode())
        elif self.command == "PUT" and upload is not None:
            parts[upload][int(query["partNumber"][0])] = body
            self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')
        elif self.command == "POST":
            told = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>\"(\w+)\"</ETag>", body.decode())
            have = [(str(n), hashlib.md5(b).hexdigest()) for n, b in sorted(parts[upload].items())]
            if told != have:
                self.fail(400, "InvalidPart")
                return
            self.storage.objects[path] = b"".join(b for _, b in sorted(parts.pop(upload).items()))
            self.answer(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
        elif self.command == "DELETE":
            if parts.pop(upload, None) is None:
                self.fail(404, "NoSuchUpload")
            else:
                self.answer(204)
        elif self.command == "GET":
            if path in self.storage.objects:
                self.answer(200, self.storage.objects[path])
            else:
                self.fail(404, "NoSuchKey")
        else:
            self.storage.objects[path] = body
            self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')

    do_GET = do_PUT = do_POST = do_DELETE = handle_any
