/* Where a forward goes: one spelling for many, and what no policy comes upon by chance. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "proto/wire/host.h"

static struct host
parse(const char *text)
{
	struct host h = {.kind = HOST_IS_NAME};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, host_parse(&h, text, &err), 0), "%s: %s", text, hw_err_text(&err));
	return h;
}

/* Every way to write the address of instance metadata that the C library, or a gateway, takes for
 * it. */
static const char *const metadata[] = {
	"169.254.169.254",
	"169.254.169.254.",
	"169.254.43518",
	"169.16689662",
	"2852039166",
	"0xa9fea9fe",
	"0XA9FEA9FE",
	"025177524776",
	"0251.0376.0251.0376",
	"0251.254.169.254",
	"169.0376.169.254",
	"0xa9.0xfe.0xa9.0xfe",
	"0xA9.0xFE.0xA9.0xFE",
	"0xa9.254.169.254",
	"0xa9.0376.43518",
	"0xa9.16689662",
	"0251.0xfea9fe",
	"00000251.0376.0251.0376",
	"0x000a9.0xfe.0xa9.0xfe",
	"169.254.0xa9fe",
	"169.0xfe.0251.254",
	"0251.0376.0124776",
	"0xA9FEA9FE.",
	"::ffff:169.254.169.254",
	"[::ffff:169.254.169.254]",
	"::ffff:a9fe:a9fe",
	"::FFFF:A9FE:A9FE",
	"[::ffff:a9fe:a9fe]",
	"0:0:0:0:0:ffff:a9fe:a9fe",
	"0000:0000:0000:0000:0000:ffff:a9fe:a9fe",
	"::ffff:0:169.254.169.254",
	"::169.254.169.254",
	"::a9fe:a9fe",
	"0:0:0:0:0:0:a9fe:a9fe",
	"64:ff9b::169.254.169.254",
	"64:ff9b::a9fe:a9fe",
	"0064:ff9b:0:0:0:0:a9fe:a9fe",
	"64:FF9B::A9FE:A9FE",
	"[64:ff9b::a9fe:a9fe]",
	"64:ff9b:1::a9fe:a9fe",
	"64:ff9b:1:abcd::169.254.169.254",
	"2002:a9fe:a9fe::",
	"2002:a9fe:a9fe::1",
	"2002:a9fe:a9fe:1234:5678:9abc:def0:1",
};

Test(host, forty_spellings_of_an_address_are_judged_as_one)
{
	size_t n = sizeof(metadata) / sizeof(metadata[0]);

	cr_assert(ge(sz, n, 40));
	for (size_t i = 0; i < n; i++) {
		struct host h = parse(metadata[i]);
		cr_assert(eq(int, h.kind, HOST_IS_ADDRESS), "%s", metadata[i]);
		cr_assert_str_eq(h.judged, "169.254.169.254", "%s is %s", metadata[i], h.judged);
		cr_assert(eq(u32, h.traits, HOST_GUARDED), "%s", metadata[i]);
		cr_assert_str_eq(host_guarded_as((const struct sockaddr *)&h.address),
			"an address of instance metadata");
	}
}

/* What the C library makes of a text is what we make of it: nothing is reached that was not judged.
 */
Test(host, the_c_library_agrees)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;

	for (size_t i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++) {
		struct host h = parse(metadata[i]);
		if (getaddrinfo(metadata[i], NULL, &hints, &found) != 0)
			continue;
		cr_assert(host_same(found->ai_addr, (const struct sockaddr *)&h.address), "%s",
			metadata[i]);
		freeaddrinfo(found);
	}
}

static const struct {
	const char *text, *judged;
	unsigned traits;
} addresses[] = {
	{"10.0.0.9",	     "10.0.0.9",		 0			  },
	{"10.9",		 "10.0.0.9",	     0			      },
	{"192.0.2.1",	      "192.0.2.1",	   0			    },
	{"2001:DB8::1",		"2001:db8::1",	       0			},
	{"2001:db8:0:0:0:0:0:1", "2001:db8::1",		0			 },
	{"fd12::1",		    "fd12::1",	       0			},
	{"127.0.0.1",	      "127.0.0.1",	   HOST_LOCAL		     },
	{"127.99.1.2",	       "127.99.1.2",	     HOST_LOCAL	       },
	{"0x7f.1",		   "127.0.0.1",		HOST_LOCAL		  },
	{"::1",		  "::1",		       HOST_LOCAL		 },
	{"[::1]",		  "::1",		 HOST_LOCAL		   },
	{"::ffff:127.0.0.1",     "127.0.0.1",		  HOST_LOCAL		    },
	{"64:ff9b::127.0.0.1",   "127.0.0.1",	    HOST_LOCAL		      },
	{"2002:7f00:1::",	  "127.0.0.1",	       HOST_LOCAL		 },
	{"0.0.0.0",		    "0.0.0.0",	       HOST_LOCAL | HOST_GUARDED},
	{"0",		    "0.0.0.0",		 HOST_LOCAL | HOST_GUARDED},
	{"::",		   "::",		     HOST_LOCAL | HOST_GUARDED},
	{"::ffff:0:0",	       "0.0.0.0",		  HOST_LOCAL | HOST_GUARDED},
	{"0.1.2.3",		    "0.1.2.3",	       HOST_GUARDED		   },
	{"169.254.0.1",		"169.254.0.1",	       HOST_GUARDED		   },
	{"100.100.100.200",	    "100.100.100.200",     HOST_GUARDED		   },
	{"100.100.100.201",	    "100.100.100.201",     0			},
	{"224.0.0.1",	      "224.0.0.1",	   HOST_GUARDED	       },
	{"239.255.255.255",	    "239.255.255.255",     HOST_GUARDED		   },
	{"255.255.255.255",	    "255.255.255.255",     HOST_GUARDED		   },
	{"fe80::1",		    "fe80::1",	       HOST_GUARDED		   },
	{"febf::1",		    "febf::1",	       HOST_GUARDED		   },
	{"fec0::1",		    "fec0::1",	       HOST_GUARDED		   },
	{"ff02::1",		    "ff02::1",	       HOST_GUARDED		   },
	{"fd00:ec2::254",	  "fd00:ec2::254",	   HOST_GUARDED	       },
	{"fd00:ec2::253",	  "fd00:ec2::253",	   0			    },
	{"2001:0:a9fe:a9fe::1",	"2001:0:a9fe:a9fe::1", HOST_GUARDED		   },
};

Test(host, addresses_have_one_spelling_and_their_traits)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct host h = parse(addresses[i].text);
		cr_assert(eq(int, h.kind, HOST_IS_ADDRESS), "%s", addresses[i].text);
		cr_assert_str_eq(h.judged, addresses[i].judged);
		cr_assert(eq(u32, h.traits, addresses[i].traits), "%s", addresses[i].text);
	}
}

/* A mapped address is reached as what it is; one of NAT64 by way of its gateway. */
Test(host, what_is_reached_is_not_always_what_is_judged)
{
	cr_assert_str_eq(parse("::ffff:10.0.0.9").text, "10.0.0.9");
	cr_assert(eq(int, parse("::ffff:10.0.0.9").address.ss_family, AF_INET));
	cr_assert_str_eq(parse("64:ff9b::a00:9").text, "64:ff9b::a00:9");
	cr_assert_str_eq(parse("64:ff9b::a00:9").judged, "10.0.0.9");
}

Test(host, names_are_in_lower_case_and_have_no_dot_after_them)
{
	cr_assert_str_eq(parse("DB-1.Internal.").text, "db-1.internal");
	cr_assert_str_eq(parse("_ldap.example").judged, "_ldap.example");
	cr_assert(eq(u32, parse("db").traits, 0));
	cr_assert(eq(u32, parse("LocalHost.").traits, HOST_LOCAL));
	cr_assert(eq(u32, parse("x.localhost").traits, HOST_LOCAL));
	cr_assert(eq(u32, parse("notlocalhost").traits, 0));
}

Test(host, sockets_are_paths_of_the_node)
{
	struct host h = parse("unix:/run/Postgres/.s.PGSQL.5432");

	cr_assert(eq(int, h.kind, HOST_IS_SOCKET));
	cr_assert_str_eq(h.text, "unix:/run/Postgres/.s.PGSQL.5432");
	cr_assert(eq(u32, h.traits, HOST_LOCAL));
}

Test(host, what_is_none_is_refused_with_a_reason)
{
	static char longest[HOST_MAX + 2], label[80];
	static const char *const bad[] = {"", ".", "..", "a..b", ".a", "a b", "a/b", "a:b", "-a",
		"a\n", "\xc3\xa4", "a%00", "fe80::1%eth0", "256.1.1.1", "1.2.3.4.5", "1.2.3.256",
		"08.1.1.1", "db.0x7f", "1.2.3.4..", "[::1", "::1]", "[db]x",
		":::", "1:2:3:4:5:6:7:8:9", "unix:", "unix:x", "unix:./x", "unix:/a\tb", longest,
		label};
	struct host h;

	memset(longest, 'a', sizeof(longest) - 1);
	memset(label, 'a', sizeof(label) - 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hw_err err = HW_ERR_INIT;
		cr_assert(eq(int, host_parse(&h, bad[i], &err), HW_EVALIDATION), "%s", bad[i]);
		cr_assert(gt(sz, strlen(hw_err_text(&err)), 10));
	}
}

Test(host, shown_addresses_have_their_port)
{
	char out[HOST_SHOWN_MAX];
	struct host v4 = parse("10.0.0.9"), v6 = parse("2001:db8::1");

	host_write(out, (const struct sockaddr *)&v4.address, 5432);
	cr_assert_str_eq(out, "10.0.0.9:5432");
	host_write(out, (const struct sockaddr *)&v6.address, 80);
	cr_assert_str_eq(out, "[2001:db8::1]:80");
	cr_assert(not(host_same((const struct sockaddr *)&v4.address,
		(const struct sockaddr *)&v6.address)));
}
