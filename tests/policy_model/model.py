"""What a policy means, said a second time: plain, slow, and in another way than the relay's C.

Document(text) raises Malformed, or has statements; misses(), decide() and may_ever() say what a list
of documents means for a Request.
"""

import base64
import binascii
import datetime
import ipaddress
import json
import re
from fractions import Fraction

TEXT_MAX, DEPTH_MAX, STATEMENTS_MAX, VALUES_MAX = 65536, 8, 200, 4000


class Malformed(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Malformed(why)


LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def lower(text):
    """ASCII only: what case means elsewhere depends on the language."""
    return text.translate(LOWER)


# ---- JSON ----------------------------------------------------------------------------------------


class Real(str):
    """A number with a fraction or an exponent, as it is written."""


def _object(pairs):
    names = [name for name, _ in pairs]
    need(len(set(names)) == len(names), "a name stands twice")
    return dict(pairs)


def _real(text):
    need(abs(float(text)) != float("inf"), "too large")
    return Real(text)


def _integer(text):
    value = int(text)
    need(-(2**63) <= value < 2**63, "too large")
    return value


def _constant(text):
    raise Malformed(f"{text} is no JSON")


def _check_strings(value, depth):
    if isinstance(value, (dict, list)):
        need(depth < DEPTH_MAX, "too deep")
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        for v in inner:
            _check_strings(v, depth + 1)
    elif isinstance(value, str):
        need("\0" not in value, "NUL")
        need(not any("\ud800" <= c <= "\udfff" for c in value), "half a character")


def read_json(text):
    need(len(text.encode("utf-8", "surrogatepass")) <= TEXT_MAX, "too long")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_float=_real,
                           parse_int=_integer, parse_constant=_constant)
    except (json.JSONDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from e
    _check_strings(value, 0)
    return value


# ---- texts with wildcards and variables ----------------------------------------------------------

KEY = re.compile(r"[A-Za-z0-9-]+:[^\x00-\x1f\x7f{}$,'\"*?\\]+")
VARIABLE = re.compile(r"\$\{(?:([*?$])|([^},]*)(?:, *'([^']*)' *)?)\}")


def valid_key(key):
    return (KEY.fullmatch(key) is not None and not key.endswith(" ")
            and len(key.encode()) <= 256)


def of_resource(key):
    return key.startswith(("ssm:resourcetag/", "aws:resourcetag/")) or key == "hawser:sessionowner"


class Text:
    """A list of parts: ("text", t), ("any",), ("one",), ("key", name, default)."""

    def __init__(self, source, wildcards, variables):
        self.parts = []
        at = 0
        while at < len(source):
            if variables and source.startswith("${", at):
                m = VARIABLE.match(source, at)
                need(m is not None, "no variable")
                at = m.end()
                if m.group(1):
                    self.parts.append(("text", m.group(1)))
                else:
                    need(valid_key(m.group(2)), "no key")
                    self.parts.append(("key", lower(m.group(2)), m.group(3)))
                continue
            c = source[at]
            at += 1
            if wildcards and c in "*?":
                self.parts.append(("any",) if c == "*" else ("one",))
            else:
                self.parts.append(("text", c))
        self.keys = [p[1] for p in self.parts if p[0] == "key"]
        need(len(self.keys) <= 16, "too many variables")
        self.own_ids = self._ends_in_own_ids()
        self._constant = None if self.keys else self._regex(None)

    def _ends_in_own_ids(self):
        parts = list(self.parts)
        if not parts or parts[-1] != ("any",):
            return False
        while parts and parts[-1] == ("any",):
            parts.pop()
        return (len(parts) >= 2 and parts[-1] == ("text", "-") and parts[-2][0] == "key"
                and parts[-2][1] in ("aws:username", "aws:userid"))

    def literal(self):
        return all(p[0] == "text" for p in self.parts)

    def regex(self, request):
        """None when a variable stands for nothing."""
        return self._regex(request) if self._constant is None else self._constant

    def _regex(self, request):
        out = []
        for part in self.parts:
            if part[0] == "text":
                out.append(re.escape(part[1]))
            elif part[0] == "one":
                out.append(".")
            elif part[0] == "any":
                out.append(".*")
            else:
                have = request.get(part[1])
                value = have[0] if have is not None and len(have) == 1 else part[2]
                if value is None:
                    return None
                out.append(re.escape(value))
        if self.own_ids:
            while out and out[-1] == ".*":
                out.pop()
            out.append("[^-]*")
        return "".join(out)


def matches(regex, text, fold=False):
    if fold:
        # Folding both texts leaves the escapes alone: none of them is a capital letter.
        return re.fullmatch(lower(regex), lower(text), re.S) is not None
    return re.fullmatch(regex, text, re.S) is not None


def arn_parts(text, variables):
    """The six parts of an ARN; colons inside of variables divide nothing."""
    parts, at, current = [], 0, ""
    while at < len(text):
        if len(parts) < 5:
            m = VARIABLE.match(text, at) if variables else None
            if m is None and text[at] == ":":
                parts.append(current)
                current = ""
                at += 1
                continue
            if m is not None:
                current += m.group()
                at = m.end()
                continue
        current += text[at]
        at += 1
    return parts + [current]


def check_arn(text, variables):
    if text == "*":
        return
    need(text.startswith("arn:"), "no ARN")
    parts = arn_parts(text, variables)
    need(len(parts) == 6 and parts[5] != "", "six parts")


# ---- values of conditions ------------------------------------------------------------------------


def number(text):
    m = re.fullmatch(r"([+-]?)([0-9]{1,18})(?:\.([0-9]{1,9}))?", text)
    if m is None:
        return None
    value = Fraction(f"{m.group(2)}.{m.group(3) or 0}")
    return -value if m.group(1) == "-" else value


DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
                  r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,9})?)?"
                  r"(?:Z|([+-])([0-9]{2}):([0-9]{2})))?")


def date(text):
    value = number(text)
    if value is not None:
        return value
    m = DATE.fullmatch(text)
    if m is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, off_h, off_m = m.groups(default="0")
    try:
        days = datetime.date(int(year), int(month), int(day)).toordinal()
        datetime.time(int(hour), int(minute), int(second))
        datetime.time(int(off_h), int(off_m))
    except ValueError:
        return None
    days -= datetime.date(1970, 1, 1).toordinal()
    offset = (int(off_h) * 60 + int(off_m)) * (-60 if sign == "-" else 60)
    seconds = days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second) - offset
    return seconds + Fraction("0" + fraction)


def truth(text):
    return {"true": True, "false": False}.get(lower(text))


def _unmapped(ip):
    return ip.ipv4_mapped if ip.version == 6 and ip.ipv4_mapped is not None else ip


def address(text):
    try:
        return None if "%" in text else _unmapped(ipaddress.ip_address(text))
    except ValueError:
        return None


def network(text):
    if "/" not in text:
        ip = address(text)
        return None if ip is None else ipaddress.ip_network(ip)
    head, _, bits = text.partition("/")
    if "%" in head or re.fullmatch("0|[1-9][0-9]{0,2}", bits) is None:
        return None
    try:
        net = ipaddress.ip_network((head, int(bits)), strict=False)
        ip = ipaddress.ip_address(head)
    except ValueError:
        return None
    if ip.version == 6 and int(bits) >= 96 and ip.ipv4_mapped is not None:
        return ipaddress.ip_network((ip.ipv4_mapped, int(bits) - 96), strict=False)
    return net


def octets(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Stray bits and missing padding make it another text.
    return raw if base64.b64encode(raw).decode() == text else None


# ---- operators -----------------------------------------------------------------------------------
# Each makes of a document's text a function (request, value) -> bool or None, None being a variable
# that stands for nothing.


def _string(wildcards, fold):
    def make(source, variables):
        text = Text(source, wildcards, variables)

        def test(request, value):
            regex = text.regex(request)
            return None if regex is None else matches(regex, value, fold)

        test.text = text
        test.keys = text.keys
        return test
    return make


def _arn(source, variables):
    check_arn(source, variables)
    parts = ["*"] * 6 if source == "*" else arn_parts(source, variables)
    texts = [Text(p, True, variables) for p in parts]

    def test(request, value):
        regexes = [t.regex(request) for t in texts]
        if None in regexes:
            return None
        have = value.split(":", 5)
        return len(have) == 6 and all(matches(r, h) for r, h in zip(regexes, have))

    test.keys = [k for t in texts for k in t.keys]
    return test


def _typed(read_want, read_have, compare):
    def make(source, _variables):
        want = read_want(source)
        need(want is not None, "no such value")

        def test(_request, value):
            have = read_have(value)
            return have is not None and compare(have, want)

        test.keys = []
        return test
    return make


ORDERS = {
    "Equals": lambda a, b: a == b,
    "NotEquals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanEquals": lambda a, b: a >= b,
}
_in_network = _typed(network, address, lambda a, n: a.version == n.version and a in n)

# name: (maker, negated)
OPERATORS = {
    "StringEquals": (_string(False, False), False),
    "StringNotEquals": (_string(False, False), True),
    "StringEqualsIgnoreCase": (_string(False, True), False),
    "StringNotEqualsIgnoreCase": (_string(False, True), True),
    "StringLike": (_string(True, False), False),
    "StringNotLike": (_string(True, False), True),
    "ArnEquals": (_arn, False),
    "ArnNotEquals": (_arn, True),
    "ArnLike": (_arn, False),
    "ArnNotLike": (_arn, True),
    "Bool": (_typed(truth, truth, lambda a, b: a == b), False),
    "IpAddress": (_in_network, False),
    "NotIpAddress": (_in_network, True),
    "BinaryEquals": (_typed(octets, lambda t: t.encode(), lambda a, b: a == b), False),
}
for _name, _order in ORDERS.items():
    OPERATORS["Numeric" + _name] = (_typed(number, number, _order), _name == "NotEquals")
    OPERATORS["Date" + _name] = (_typed(date, date, _order), _name == "NotEquals")


class Condition:
    def __init__(self, operator, key, values, variables):
        m = re.fullmatch(r"(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?", operator, re.A)
        need(m is not None, "no operator")
        self.set, self.name, self.if_exists = m.group(1), m.group(2), m.group(3) is not None
        need(valid_key(key), "no key")
        self.key = lower(key)
        if self.name == "Null":
            need(self.set is None and not self.if_exists, "no operator")
            self.wanted = [truth(v) for v in values]
            need(None not in self.wanted, "no truth")
            self.tests = []
        else:
            need(self.name in OPERATORS, "no operator")
            make, self.negated = OPERATORS[self.name]
            self.tests = [make(v, variables) for v in values]
        keys = [self.key] + [k for t in self.tests for k in t.keys]
        self.of_resource = any(of_resource(k) for k in keys)

    def holds(self, request):
        have = request.get(self.key)
        if self.name == "Null":
            return (have is None) in self.wanted
        if any(t(request, "") is None for t in self.tests):
            return False  # the statement does not match, negated or not
        if have is None:
            if self.if_exists or self.set == "ForAllValues":
                return True
            return self.set is None and self.negated
        each = [any(t(request, value) for t in self.tests) for value in have]
        if self.set is None:
            return (not any(each)) if self.negated else any(each)
        met = [hit != self.negated for hit in each]
        return all(met) if self.set == "ForAllValues" else any(met)

    def names(self, request):
        have = request.get(self.key)
        if (self.name not in ("StringEquals", "StringLike") or self.set or self.if_exists
                or self.key != request.named_key or have is None or len(have) != 1):
            return False
        if not request.literal:
            return True
        return any(t.text.literal() and "".join(p[1] for p in t.text.parts) == have[0]
                   for t in self.tests)


# ---- documents -----------------------------------------------------------------------------------


def strings(value, what):
    values = value if isinstance(value, list) else [value]
    need(values and all(isinstance(v, str) and not isinstance(v, Real) for v in values), what)
    return values


def condition_values(value):
    values = value if isinstance(value, list) else [value]
    need(values, "empty")
    out = []
    for v in values:
        need(isinstance(v, (str, bool, int)), "type")
        out.append({True: "true", False: "false"}[v] if isinstance(v, bool) else str(v))
    return out


def valid_action(text):
    return text == "*" or (len(text) <= 128 and re.fullmatch(
        r"[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+", text) is not None)


ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


class Statement:
    def __init__(self, value, variables):
        need(isinstance(value, dict), "type")
        need(set(value) <= ELEMENTS, "unknown element")
        self.sid = value.get("Sid", "")
        need(isinstance(self.sid, str) and not isinstance(self.sid, Real)
             and re.fullmatch("[A-Za-z0-9 _.-]{0,128}", self.sid), "Sid")
        need(value.get("Effect") in ("Allow", "Deny"), "Effect")
        self.allow = value["Effect"] == "Allow"
        need(("Action" in value) != ("NotAction" in value), "Action")
        need(("Resource" in value) != ("NotResource" in value), "Resource")
        self.not_action, self.not_resource = "NotAction" in value, "NotResource" in value
        actions = strings(value.get("Action", value.get("NotAction")), "Action")
        need(all(valid_action(a) for a in actions), "Action")
        self.actions = [Text(a, True, False) for a in actions]
        resources = strings(value.get("Resource", value.get("NotResource")), "Resource")
        for r in resources:
            check_arn(r, variables)
        self.resources = [Text(r, True, variables) for r in resources]
        self.conditions, values = [], 0
        block = value.get("Condition", {})
        need(isinstance(block, dict), "Condition")
        for operator, keys in block.items():
            need(isinstance(keys, dict) and keys, "Condition")
            for key, wanted in keys.items():
                wanted = condition_values(wanted)
                values += len(wanted)
                self.conditions.append(Condition(operator, key, wanted, variables))
        self.n_values = values + len(actions) + len(resources)

    def action_applies(self, request):
        hit = any(matches(a.regex(request), request.action, True) for a in self.actions)
        return hit != self.not_action

    def resource_applies(self, request):
        regexes = [r.regex(request) for r in self.resources]
        if None in regexes:
            return False
        names = [request.resource] + ([request.alias] if request.alias is not None else [])
        return any(matches(r, n) for r in regexes for n in names) != self.not_resource

    def named(self, request):
        return (request.named_key is None or not self.allow
                or any(c.names(request) for c in self.conditions))

    def miss(self, request):
        """One letter: = applies, or a, r, c, n for what does not."""
        if not self.action_applies(request):
            return "a"
        if not self.resource_applies(request):
            return "r"
        if not all(c.holds(request) for c in self.conditions):
            return "c"
        return "=" if self.named(request) else "n"

    def may_apply(self, request):
        if not self.action_applies(request):
            return False
        if not self.allow:
            keys = [k for r in self.resources for k in r.keys]
            everything = any(r.parts == [("any",)] for r in self.resources)
            if (self.not_resource or not everything or any(of_resource(k) for k in keys)
                    or not self.resource_applies(request)):
                return False
        for c in self.conditions:
            if c.of_resource:
                if not self.allow:
                    return False
            elif not c.holds(request):
                return False
        return self.named(request)


class Document:
    def __init__(self, text):
        value = read_json(text)
        need(isinstance(value, dict), "type")
        need(set(value) <= {"Version", "Id", "Statement"}, "unknown element")
        need("Statement" in value, "Statement")
        for name in ("Version", "Id"):
            need(isinstance(value.get(name, ""), str)
                 and not isinstance(value.get(name, ""), Real), name)
        version = value.get("Version", "2008-10-17")
        need(version in ("2012-10-17", "2008-10-17"), "Version")
        found = value["Statement"]
        found = found if isinstance(found, list) else [found]
        need(1 <= len(found) <= STATEMENTS_MAX, "Statement")
        self.statements = [Statement(s, version == "2012-10-17") for s in found]
        sids = [s.sid for s in self.statements if s.sid]
        need(len(set(sids)) == len(sids), "Sid")
        need(sum(s.n_values for s in self.statements) <= VALUES_MAX, "too many")


# ---- requests and decisions ----------------------------------------------------------------------


class Request:
    def __init__(self, action, resource, alias=None, keys=None, resource_tags=None,
                 principal_tags=None, request_tags=None, named_key=None, literal=False):
        self.action, self.resource, self.alias = action, resource, alias
        self.keys = keys or {}
        self.tags = {
            "ssm:resourcetag/": resource_tags or {},
            "aws:resourcetag/": resource_tags or {},
            "aws:principaltag/": principal_tags or {},
            "aws:requesttag/": request_tags or {},
        }
        self.named_key, self.literal = named_key, literal

    def get(self, key):
        """A list of values, or None: the key is not there."""
        for prefix, tags in self.tags.items():
            if key.startswith(prefix):
                value = tags.get(key[len(prefix):])
                return None if value is None else [value]
        return self.keys.get(key)


def misses(documents, request):
    """Of each document, a letter for each of its statements; None is a malformed document."""
    return ["" if d is None else "".join(s.miss(request) for s in d.statements)
            for d in documents]


def decide(documents, letters):
    """("deny" | "allow" | "none", document, statement), from what misses() found."""
    found = [(documents[i].statements[k].allow, i, k) for i, of_one in enumerate(letters)
             for k, letter in enumerate(of_one) if letter == "="]
    for allow, verdict in ((False, "deny"), (True, "allow")):
        for a, i, k in found:
            if a == allow:
                return verdict, i, k
    return "none", 0, 0


def may_ever(documents, request):
    effects = {s.allow for d in documents if d is not None for s in d.statements
               if s.may_apply(request)}
    return effects == {True}
