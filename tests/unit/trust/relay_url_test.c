#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "proto/trust/https.h"

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void
expect(const char *text, const char *host, int port, const char *pin, const char *formatted)
{
	struct hw_err err = HW_ERR_INIT;
	struct relay_url url, again;
	char out[RELAY_URL_MAX];

	cr_expect(eq(int, relay_url_parse(&url, text, &err), 0), "%s: %s", text, err.text);
	cr_expect(eq(str, url.host, (char *)host));
	cr_expect(eq(int, url.port, port));
	cr_expect(eq(str, url.pin, (char *)pin));
	cr_expect(eq(int, relay_url_format(out, sizeof(out), &url), 0));
	cr_expect(eq(str, out, (char *)formatted));
	cr_expect(eq(int, relay_url_parse(&again, out, &err), 0), "%s: %s", out, err.text);
	cr_expect(eq(int, memcmp(&url, &again, sizeof(url)), 0));
}

Test(relay_url, names_host_port_and_pin)
{
	expect("https://relay.example.com:8443#sha256:" PIN, "relay.example.com", 8443, PIN,
		"https://relay.example.com:8443#sha256:" PIN);
	expect("https://relay.example.com/#sha256:" PIN, "relay.example.com", 443, PIN,
		"https://relay.example.com#sha256:" PIN);
	expect("https://localhost", "localhost", 443, "", "https://localhost");
	expect("https://localhost:443/", "localhost", 443, "", "https://localhost");
	expect("https://192.0.2.7:1", "192.0.2.7", 1, "", "https://192.0.2.7:1");
	expect("https://a.b.:65535", "a.b.", 65535, "", "https://a.b.:65535");
	expect("https://node_1.x-y.9a", "node_1.x-y.9a", 443, "", "https://node_1.x-y.9a");
}

Test(relay_url, takes_ipv6_hosts_in_brackets)
{
	expect("https://[::1]:8443#sha256:" PIN, "::1", 8443, PIN,
		"https://[::1]:8443#sha256:" PIN);
	expect("https://[2001:DB8::1]", "2001:db8::1", 443, "", "https://[2001:db8::1]");
	expect("https://[::ffff:192.0.2.1]/", "::ffff:192.0.2.1", 443, "",
		"https://[::ffff:192.0.2.1]");
}

Test(relay_url, makes_scheme_host_and_pin_lower_case)
{
	expect("HTTPS://Relay.Example.COM#sha256:"
	       "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff",
		"relay.example.com", 443, PIN, "https://relay.example.com#sha256:" PIN);
}

static void
refuse(const char *text, const char *why)
{
	struct relay_url url = {.port = -7};
	struct hw_err err = HW_ERR_INIT;

	cr_expect(eq(int, relay_url_parse(&url, text, &err), HW_EVALIDATION), "accepts %s", text);
	cr_expect(ne(ptr, strstr(err.text, why), NULL), "%s: '%s' lacks '%s'", text, err.text, why);
	cr_expect(eq(int, url.port, -7));
}

Test(relay_url, says_which_part_is_wrong)
{
	char longest[512] = "https://";

	refuse("", "https://");
	refuse("http://relay", "https://");
	refuse("wss://relay", "https://");
	refuse("relay.example.com", "https://");
	refuse("https:/relay", "https://");
	refuse("https://", "no host");
	refuse("https://:8443", "no host");
	refuse("https://#sha256:" PIN, "no host");
	refuse("https://a b", "no host name");
	refuse("https://a\r\nX: y", "no host name");
	refuse("https://a..b", "no host name");
	refuse("https://.a", "no host name");
	refuse("https://-a", "no host name");
	refuse("https://a-.b", "no host name");
	refuse("https://\xc3\xa9", "no host name");
	refuse("https://1.2.3", "no host name");
	refuse("https://256.1.1.1", "no host name");
	refuse("https://0x7f000001.1", "no host name");
	refuse("https://1", "no host name");
	refuse("https://user@relay", "user");
	refuse("https://user:pw@relay:8443", "user");
	refuse("https://::1", "no host");
	refuse("https://[::1", "]");
	refuse("https://[]", "no host");
	refuse("https://[relay]", "no host name");
	refuse("https://[127.0.0.1]", "no host name");
	refuse("https://[fe80::1%eth0]", "no host name");
	refuse("https://[::1]x", "between");
	refuse("https://relay:", "port");
	refuse("https://relay:0", "port");
	refuse("https://relay:65536", "port");
	refuse("https://relay:99999999999999999999", "port");
	refuse("https://relay:-1", "port");
	refuse("https://relay:+1", "port");
	refuse("https://relay: 1", "port");
	refuse("https://relay:1x", "port");
	refuse("https://2001:db8::1", "[brackets]");
	refuse("https://relay/path", "between");
	refuse("https://relay//", "between");
	refuse("https://relay?x=y", "between");
	refuse("https://relay/?x", "between");
	refuse("https://relay#", "sha256:");
	refuse("https://relay#md5:" PIN, "sha256:");
	refuse("https://relay#" PIN, "sha256:");
	refuse("https://relay#sha256:", "64 hex");
	refuse("https://relay#sha256:" PIN "0", "64 hex");
	refuse("https://relay#sha256:" PIN " ", "64 hex");
	refuse("https://relay#sha256:"
	       "g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"64 hex");
	memset(longest + 8, 'a', 64);
	refuse(longest, "no host name");
	for (int i = 0; i < 300; i++)
		longest[8 + i] = i % 10 == 9 ? '.' : 'a';
	refuse(longest, "no host name");
}

Test(relay_url, that_does_not_fit_is_not_cut)
{
	struct relay_url url;
	char out[20];

	cr_assert(eq(int, relay_url_parse(&url, "https://localhost:44", NULL), 0));
	cr_assert(eq(int, relay_url_format(out, sizeof(out), &url), HW_ELIMIT));
}
