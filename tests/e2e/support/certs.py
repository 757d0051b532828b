"""Keys and certificates, good and bad ones, by the openssl program."""

import datetime
import os
import re
import subprocess
import tempfile


def openssl(*args, data=None):
    return subprocess.run(
        ["openssl", *args], check=True, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


class Identity:
    """Files of a certificate and its key, and the holder's name."""

    def __init__(self, cert, key, name):
        self.cert, self.key, self.id = cert, key, name

    @property
    def serial(self):
        out = openssl("x509", "-in", self.cert, "-noout", "-serial").decode()
        return out.strip().split("=")[1]


def make_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def request(base, name):
    """A new key's file and a certificate request in DER."""
    fd, key = tempfile.mkstemp(".key", name + "-", base)
    os.close(fd)
    make_key(key)
    return key, openssl("req", "-new", "-key", key, "-subj", "/", "-outform", "DER")


def save(base, name, key, der, known_as=None):
    cert = key[:-len(".key")] + ".crt"
    with open(cert, "wb") as f:
        f.write(openssl("x509", "-inform", "DER", data=der))
    return Identity(cert, key, known_as or name)


class Authority:
    """A CA: a certificate and its key."""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key

    @classmethod
    def make(cls, base, name):
        """Another CA, that nobody trusts."""
        cert, key = (os.path.join(base, f"{name}.{ext}") for ext in ("crt", "key"))
        make_key(key)
        openssl("req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", "30", "-out", cert)
        return cls(cert, key)

    def fleet(self):
        subject = openssl("x509", "-in", self.cert, "-noout", "-subject").decode()
        return re.search(r"Hawser fleet ([0-9a-f]+)", subject).group(1)

    def issue(self, base, name, uri, usage="clientAuth", days=1, start_days=0, serial=None,
              says_by_which_key=True):
        """A certificate from start_days to start_days + days from now; both may be negative."""
        work = tempfile.mkdtemp(prefix=name + "-", dir=base)
        path = lambda leaf: os.path.join(work, leaf)
        now = datetime.datetime.now(datetime.timezone.utc)
        when = [(now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ")
                for d in (start_days - 0.01, start_days + days)]
        make_key(path("key"))
        openssl("req", "-new", "-key", path("key"), "-subj", "/CN=" + name[:60], "-out", path("csr"))
        open(path("index"), "w").close()
        with open(path("conf"), "w", encoding="utf-8") as f:
            f.write(f"""
[ca]
default_ca = it
[it]
database = {path("index")}
new_certs_dir = {work}
certificate = {self.cert}
private_key = {self.key}
serial = {path("serial")}
default_md = sha256
policy = any
x509_extensions = v3
unique_subject = no
[any]
commonName = optional
[v3]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectAltName = URI:{uri}
authorityKeyIdentifier = {"keyid" if says_by_which_key else "none"}
subjectKeyIdentifier = hash
""")
        with open(path("serial"), "w", encoding="ascii") as f:
            f.write((serial or os.urandom(16).hex()) + "\n")
        openssl("ca", "-batch", "-notext", "-config", path("conf"), "-in", path("csr"), "-out", path("crt"),
                "-startdate", when[0], "-enddate", when[1])
        return Identity(path("crt"), path("key"), uri.rsplit("/", 1)[-1])


def self_signed(base, uri):
    work = tempfile.mkdtemp(prefix="self-", dir=base)
    key, cert = os.path.join(work, "key"), os.path.join(work, "crt")
    make_key(key)
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=self", "-days", "1", "-out", cert,
            "-addext", f"subjectAltName=URI:{uri}", "-addext", "extendedKeyUsage=clientAuth")
    return Identity(cert, key, "self")
