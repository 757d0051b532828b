#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/proxy.h"

static struct proxy p;
static struct hw_err err;

static void
parse(const char *text)
{
	cr_assert(eq(int, proxy_parse(&p, text, &err), 0), "%s: %s", text, err.text);
}

#define is(got, text) cr_expect(eq(str, (char *)(got), (char *)(text)))
#define says(part)    cr_expect(strstr(err.text, part) != NULL, "no %s in: %s", part, err.text)

Test(proxy, is_read_as_it_is_written)
{
	parse("http://proxy.example:3128");
	is(p.host, "proxy.example");
	cr_expect(eq(int, p.port, 3128));
	cr_expect(not(p.login));
	parse("HTTP://ann:s%40cr%3At@[2001:db8::1]:80/");
	is(p.host, "2001:db8::1");
	is(p.user, "ann");
	is(p.password, "s@cr:t");
	parse("ann@10.0.0.1:8080");
	is(p.user, "ann");
	is(p.password, "");
	cr_expect(p.login);
	parse("http://a:b@c:d@proxy:1");
	is(p.password, "b@c:d");
}

Test(proxy, what_is_none_is_refused_without_its_password)
{
	static const char *const bad[] = {"", "http://", "proxy.example", "http://proxy.example",
		"http://proxy.example:0", "http://proxy.example:65536", "http://proxy:80/path",
		"http://u:secret@:80", "http://u:secret@pro xy:80", "http://u:secret@[::1:80",
		"http://u:secret@[proxy]:80", "https://u:secret@proxy:443",
		"socks5://u:secret@proxy:1080", "http://u:secret%0d%0aX@proxy:80",
		"http://u:secret%4@proxy:80", "http://u:secret%@proxy:80",
		"http://u%3av:secret@proxy:80", "http://u:secret@-x:80"};
	char text[700] = "http://u:";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect(eq(int, proxy_parse(&p, bad[i], &err), HW_EVALIDATION), "%s", bad[i]);
		cr_expect(eq(ptr, strstr(err.text, "secret"), NULL), "%s", err.text);
	}
	memset(text + 9, 'x', 300);
	strcpy(text + 309, "@proxy:80");
	cr_expect(eq(int, proxy_parse(&p, text, &err), HW_EVALIDATION));
	memset(text + 9, 'x', 600);
	cr_expect(eq(int, proxy_parse(&p, text, &err), HW_EVALIDATION));
}

Test(proxy, is_written_so_that_it_reads_the_same)
{
	char text[PROXY_TEXT_MAX];
	struct proxy again;

	parse("http://a%20b:p%40%3a%2f%c3%bc@[::1]:8080");
	cr_assert(eq(int, proxy_format(text, &p), 0));
	is(text, "http://a%20b:p%40%3A%2F%C3%BC@[::1]:8080");
	cr_assert(eq(int, proxy_parse(&again, text, &err), 0));
	is(again.password, p.password);
	memset(p.password, '%', 255);
	p.password[255] = '\0';
	cr_assert(eq(int, proxy_format(text, &p), HW_ELIMIT));
}

Test(proxy, is_bypassed_for_whom_the_list_has)
{
	static const struct {
		const char *list, *host;
		int port;
		bool yes;
	} rows[] = {
		{"",		     "relay.example",  443, false},
		{"*",		      "relay.example",  443, true },
		{"relay.example",	  "relay.example",  443, true },
		{"relay.example",	  "RELAY.example.", 443, true },
		{"example",		    "relay.example",  443, true },
		{".example",	     "relay.example",  443, true },
		{".relay.example",	   "relay.example",  443, true },
		{"lay.example",		"relay.example",	 443, false},
		{"a,  relay.example ,b", "relay.example",  443, true },
		{"relay.example:443",    "relay.example",  443, true },
		{"relay.example:444",    "relay.example",  443, false},
		{"10.0.0.0/8",	       "10.1.2.3",	   443, true },
		{"10.0.0.0/8:443",	   "10.1.2.3",       443, true },
		{"10.0.0.0/8",	       "11.1.2.3",	   443, false},
		{"10.1.2.3",	     "10.1.2.3",	 443, true },
		{".2.3",		 "10.1.2.3",	     443, false},
		{"10.0.0.0/8",	       "relay.example",	443, false},
		{"2001:db8::/32",	  "2001:db8::7",	 443, true },
		{"[2001:db8::7]:443",    "2001:db8::7",    443, true },
		{"[2001:db8::7]:80",     "2001:db8::7",    443, false},
		{"2001:db8::7",		"2001:db8::8",    443, false},
		{".",		      "relay.example",  443, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect(eq(int, proxy_is_bypassed(rows[i].list, rows[i].host, rows[i].port),
				  rows[i].yes),
			"%s for %s", rows[i].list, rows[i].host);
}

static void
clear(void)
{
	static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
		"no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

static const char *
chosen(void)
{
	cr_assert(eq(int, proxy_of_environment(&p, "relay.example", 443, &err), 0), "%s", err.text);
	return p.host;
}

Test(proxy, is_what_the_environment_says, .init = clear)
{
	is(chosen(), "");
	setenv("http_proxy", "http://plain:1", 1);
	is(chosen(), "");
	setenv("ALL_PROXY", "socks5h://socks:1", 1);
	is(chosen(), "");
	setenv("ALL_PROXY", "http://all:1", 1);
	is(chosen(), "all");
	setenv("HTTPS_PROXY", "http://upper:1", 1);
	is(chosen(), "upper");
	setenv("https_proxy", "lower:1", 1);
	is(chosen(), "lower");
	setenv("https_proxy", "", 1);
	is(chosen(), "");
	unsetenv("https_proxy");
	setenv("NO_PROXY", "localhost,.example", 1);
	is(chosen(), "");
	setenv("no_proxy", "", 1);
	is(chosen(), "upper");
	setenv("HTTPS_PROXY", "socks5://u:secret@socks:1", 1);
	cr_assert(eq(int, proxy_of_environment(&p, "relay.example", 443, &err), HW_EVALIDATION));
	says("the environment's HTTPS_PROXY");
}

Test(proxy, is_asked_with_name_and_password)
{
	struct buf out;

	buf_init(&out, 4096);
	parse("http://Aladdin:open%20sesame@proxy:1");
	cr_assert(eq(int, proxy_request(&out, &p, "2001:db8::1", 443), 0));
	is(buf_str(&out),
		"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
		"User-Agent: hawser/" HAWSER_VERSION "\r\n"
		"Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	buf_reset(&out);
	parse("proxy:1");
	cr_assert(eq(int, proxy_request(&out, &p, "relay.example", 443), 0));
	cr_expect(eq(ptr, strstr(buf_str(&out), "Authorization"), NULL));
	buf_fini(&out);
}

static int
answer(const char *text)
{
	err = (struct hw_err)HW_ERR_INIT;
	return proxy_answer(&p, "relay.example", 443, text, strlen(text), &err);
}

Test(proxy, opens_the_way)
{
	static const char *const good[] = {"HTTP/1.1 200 Connection established\r\n\r\n",
		"HTTP/1.0 200\r\nVia: x\r\n\r\n", "HTTP/1.1 204 No Content\n\n"};

	parse("proxy:1");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t n = strlen(good[i]);
		for (size_t part = 0; part < n; part++)
			cr_assert(eq(int,
				proxy_answer(&p, "relay.example", 443, good[i], part, &err), 0));
		cr_assert(eq(int, answer(good[i]), 1), "%s", err.text);
	}
}

Test(proxy, says_why_it_does_not)
{
	parse("proxy.example:3128");
	cr_expect(eq(int, answer("HTTP/1.1 403 Filtered\x1b[2J\r\nX: y\r\n\r\n<html>"),
		HW_EUNAVAILABLE));
	says("the proxy proxy.example:3128 refused a connection to relay.example:443 with 403 Filtered?[2J");
	says("have them allow it");
	cr_expect(eq(int,
		answer("HTTP/1.1 407 Proxy Authentication Required\r\n"
		       "Proxy-Authenticate: Basic realm=\"x\"\r\n\r\n"),
		HW_EUNAVAILABLE));
	says("it wants a user and a password");
	cr_expect(eq(int,
		answer("HTTP/1.1 407 No\r\nproxy-authenticate: Negotiate\r\n"
		       "Proxy-Authenticate: NTLM\r\n\r\n"),
		HW_EUNAVAILABLE));
	says("no user and password by Basic");
	cr_expect(eq(int, answer("HTTP/1.0 502 Bad Gateway\r\n\r\n"), HW_EUNAVAILABLE));
	says("502 Bad Gateway: the proxy cannot reach the relay");
	cr_expect(eq(int, answer("HTTP/1.1 301\r\n\r\n"), HW_EUNAVAILABLE));
	says("with 301: is it an HTTP proxy");
	parse("http://u:secret@proxy.example:3128");
	cr_expect(eq(int, answer("HTTP/1.1 407 No\r\n\r\n"), HW_EUNAVAILABLE));
	says("does not take the user and password");
	cr_expect(eq(ptr, strstr(err.text, "secret"), NULL));
}

Test(proxy, what_is_none_is_noticed_at_once)
{
	static char endless[PROXY_ANSWER_MAX + 1] = "HTTP/1.1 200 OK\r\nX: ";
	static const char *const bad[] = {"220 mail.example ESMTP\r\n", "SSH-2.0-x\r\n",
		"HTTP/2 200\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200x OK\r\n\r\n",
		"HTTP/1.1 20\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nand more"};

	parse("proxy:1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect(eq(int, answer(bad[i]), HW_EPROTO), "%s", bad[i]);
	memset(endless + strlen(endless), 'x', sizeof(endless) - 1 - strlen(endless));
	cr_expect(eq(int, answer(endless), HW_EPROTO));
}
