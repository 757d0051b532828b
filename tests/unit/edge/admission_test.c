#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/edge/admission.h"

static uint64_t
v4(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	cr_assert(eq(int, inet_pton(AF_INET, text, &a.sin_addr), 1));
	return admission_source((const struct sockaddr *)&a);
}

static uint64_t
v6(const char *text)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};

	cr_assert(eq(int, inet_pton(AF_INET6, text, &a.sin6_addr), 1));
	return admission_source((const struct sockaddr *)&a);
}

static struct admission *
new_admission(size_t max)
{
	struct admission *a = NULL;

	cr_assert(eq(int, admission_new(&a, max, 0x1234567890abcdef, NULL), 0));
	return a;
}

static size_t
enter_until_refused(struct admission *a, uint64_t source)
{
	size_t n = 0;

	while (admission_enter(a, source))
		n++;
	return n;
}

Test(admission, sources_are_networks)
{
	cr_assert(eq(u64, v4("192.0.2.1"), v4("192.0.2.254")));
	cr_assert(ne(u64, v4("192.0.2.1"), v4("192.0.3.1")));
	cr_assert(eq(u64, v6("2001:db8:1:2200::1"), v6("2001:db8:1:22ff::2")));
	cr_assert(ne(u64, v6("2001:db8:1:2200::1"), v6("2001:db8:1:2300::1")));
	cr_assert(ne(u64, v4("0.0.0.0"), v6("::")));
	cr_assert(ne(u64, v4("0.0.0.0"), 0));
	cr_assert(ne(u64, v6("::"), 0));
}

Test(admission, mapped_addresses_are_ipv4)
{
	cr_assert(eq(u64, v6("::ffff:192.0.2.7"), v4("192.0.2.1")));
}

Test(admission, one_source_gets_a_quarter)
{
	struct admission *a = new_admission(16);

	cr_assert(eq(sz, enter_until_refused(a, v4("192.0.2.1")), 4));
	cr_assert(not(admission_enter(a, v4("192.0.2.99"))));
	cr_assert(admission_enter(a, v4("198.51.100.1")));
	cr_assert(eq(sz, admission_count(a), 5));
	admission_free(a);
}

Test(admission, all_sources_together_get_the_budget)
{
	struct admission *a = new_admission(16);
	uint64_t sources[5];

	for (int i = 0; i < 5; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.0.%d.1", i);
		sources[i] = v4(text);
	}
	for (int i = 0; i < 4; i++)
		cr_assert(eq(sz, enter_until_refused(a, sources[i]), 4));
	cr_assert(not(admission_enter(a, sources[4])));
	admission_leave(a, sources[2]);
	cr_assert(admission_enter(a, sources[4]));
	cr_assert(not(admission_enter(a, sources[4])));
	admission_free(a);
}

Test(admission, a_budget_of_one_admits_one)
{
	struct admission *a = new_admission(1);

	cr_assert(admission_enter(a, v4("192.0.2.1")));
	cr_assert(not(admission_enter(a, v4("198.51.100.1"))));
	admission_leave(a, v4("192.0.2.1"));
	cr_assert(admission_enter(a, v4("198.51.100.1")));
	admission_free(a);
}

/* Sources come and go in any order: what the table says is compared with plain counters. */
Test(admission, counts_stay_right)
{
	enum { SOURCES = 300, MAX = 128 };
	struct admission *a = new_admission(MAX);
	size_t held[SOURCES] = {0}, total = 0;

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		size_t k = (size_t)random() % SOURCES;
		uint64_t source = (UINT64_C(1) << 56) | k;
		if (random() % 2 == 0) {
			bool expected = total < MAX && held[k] < MAX / 4;
			cr_assert(eq(int, admission_enter(a, source), expected));
			held[k] += expected;
			total += expected;
		} else if (held[k] > 0) {
			admission_leave(a, source);
			held[k]--;
			total--;
		}
		cr_assert(eq(sz, admission_count(a), total));
	}
	admission_free(a);
}
