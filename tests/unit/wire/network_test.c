#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <string.h>

#include "proto/wire/network.h"

static bool
has(const char *net, const char *address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct network n;

	cr_assert(network_parse(&n, net, strlen(net)), "%s", net);
	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		return network_has(&n, (struct sockaddr *)&v4);
	cr_assert(eq(int, inet_pton(AF_INET6, address, &v6.sin6_addr), 1));
	return network_has(&n, (struct sockaddr *)&v6);
}

Test(network, has_what_is_in_it)
{
	cr_expect(has("10.0.0.0/8", "10.255.0.1"));
	cr_expect(not(has("10.0.0.0/8", "11.0.0.1")));
	cr_expect(has("192.0.2.128/25", "192.0.2.200"));
	cr_expect(not(has("192.0.2.128/25", "192.0.2.100")));
	cr_expect(has("192.0.2.7", "192.0.2.7"));
	cr_expect(not(has("192.0.2.7", "192.0.2.8")));
	cr_expect(has("0.0.0.0/0", "192.0.2.8"));
	cr_expect(not(has("0.0.0.0/0", "::2")));
	cr_expect(has("2001:db8::/33", "2001:db8:7fff::1"));
	cr_expect(not(has("2001:db8::/33", "2001:db8:8000::1")));
	cr_expect(has("[2001:db8::1]", "2001:db8::1"));
	cr_expect(has("::/0", "2001:db8::1"));
}

Test(network, an_ipv4_address_in_an_ipv6_one_is_that)
{
	cr_expect(has("10.0.0.0/8", "::ffff:10.1.2.3"));
	cr_expect(has("::ffff:10.0.0.0/104", "10.1.2.3"));
	cr_expect(not(has("::ffff:10.0.0.0/104", "11.1.2.3")));
	cr_expect(not(has("::/0", "::ffff:10.1.2.3")));
}

Test(network, what_is_none_is_refused)
{
	static const char *const bad[] = {"", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
		"10.0.0.0/8x", "::/129", "[::1", "::ffff:10.0.0.0/95", "relay.example", "1.2.3.4.5",
		"10.0.0.0/0008",
		"2001:0db8:0000:0000:0000:0000:0000:0001:0000:0000:0000:0000:0000:0000:0000"};
	struct network n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect(not(network_parse(&n, bad[i], strlen(bad[i]))), "%s", bad[i]);
}

Test(network, a_list_names_the_one_that_is_none)
{
	struct network nets[3];
	struct hw_err err = HW_ERR_INIT;
	size_t n = 9;

	cr_assert(eq(int, network_list_parse(nets, &n, 3, " 10.0.0.0/8, ::1 ,,", &err), 0));
	cr_assert(eq(sz, n, 2));
	cr_assert(eq(int, network_list_parse(nets, &n, 3, "", &err), 0));
	cr_assert(eq(sz, n, 0));
	cr_assert(eq(int, network_list_parse(nets, &n, 3, "::1, ten", &err), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(err.text, "\"ten\""), NULL));
	cr_assert(eq(int, network_list_parse(nets, &n, 3, "::1 ::2 ::3 ::4", &err), HW_ELIMIT));
}
