#include "client/fold.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/selector.h"

#define NAMES_MAX 400

static void
folds(const char *words, const char *expected)
{
	char *copy = strdup(words), *rest = copy, *word;
	const char *names[NAMES_MAX];
	struct buf out;
	size_t n = 0;

	while (copy[0] != '\0' && (word = strsep(&rest, "|")) != NULL)
		names[n++] = word;
	buf_init(&out, 1 << 20);
	cr_assert(eq(int, fold_append(&out, names, n), 0));
	cr_expect_str_eq(buf_str(&out) != NULL ? buf_str(&out) : "", expected, "%s: %s", words,
		buf_str(&out));
	buf_fini(&out);
	free(copy);
}

Test(fold, ranges_lists_and_single_names)
{
	folds("", "");
	folds("web-01", "web-01");
	folds("web-01|web-02|web-03", "web-[01-03]");
	folds("web-03|web-01|db-1|web-02|web-05", "db-1 web-[01-03,05]");
	folds("web-1|web-3", "web-[1,3]");
	folds("web|db", "db web");
	folds("web-2|web-10|web-9|web-1", "web-[1-2,9-10]");
	folds("7|8|9", "[7-9]");
}

Test(fold, leading_zeros_are_part_of_a_name)
{
	folds("n08|n09|n10|n11", "n[08-11]");
	folds("n8|n9|n10", "n[8-10]");
	folds("n8|n9|n08|n09|n10", "n[8-9,08-10]");
	folds("n0|n1", "n[0-1]");
	folds("n00|n01", "n[00-01]");
	folds("n98|n99|n100", "n[98-100]");
	folds("n098|n099|n100", "n[098-100]");
	folds("n01|n1|n001", "n[1,01,001]");
}

Test(fold, the_number_that_varies_most_is_the_one_in_brackets)
{
	folds("web1.dc2|web2.dc2|web3.dc2", "web[1-3].dc2");
	folds("rack1-node1|rack1-node2|rack2-node1|rack2-node2", "rack1-node[1-2] rack2-node[1-2]");
	folds("a1b1c1d1e1|a1b1c1d1e2", "a1b1c1d1e[1-2]");
}

Test(fold, a_name_that_is_there_twice_counts_once)
{
	folds("web-1|web-1", "web-1");
	folds("web-1|web-2|web-1", "web-[1-2]");
	folds("a b|a b", "a b");
}

Test(fold, what_a_selector_cannot_spell_is_left_alone)
{
	folds("mi-0123456789abcdef0|mi-0123456789abcdef1",
		"mi-0123456789abcdef0 mi-0123456789abcdef1");
	folds("w[1|w[2", "w[1 w[2");
	folds("a*1|a*2|a?1|a,1", "a*1 a*2 a,1 a?1");
	folds("n99999999999999999999|n99999999999999999998",
		"n99999999999999999998 n99999999999999999999");
}

Test(fold, without_room_it_says_so)
{
	const char *names[] = {"a-name-that-is-long", "another"};
	struct buf out;

	buf_init(&out, 10);
	cr_assert(eq(int, fold_append(&out, names, 2), HW_ELIMIT));
	buf_fini(&out);
}

/* --- read back by selectors ------------------------------------------------------------------- */

struct universe {
	char names[NAMES_MAX][24];
	bool chosen[NAMES_MAX];
	size_t n;
};

static void
add(struct universe *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (strcmp(u->names[i], name) == 0)
			return;
	snprintf(u->names[u->n++], sizeof(u->names[0]), "%s", name);
}

/* Near each other, so that a range that says too much hits one that is not in it. */
static void
fill(struct universe *u, unsigned *seed)
{
	static const struct {
		const char *before;
		int width;
		const char *after;
	} forms[] = {
		{"w",    1, ""	   },
		      {"w",    2, ""	 },
		    {"w",	  3, ""    },
		  {"w-",	 1, ".dc1"},
		     {"w-",   1, ".dc2"},
		{"",     1, ""	  },
		     {"r",	   1, "-n1" },
		      {"r1-n", 2, ""    }
	     };
	char name[24];

	u->n = 0;
	while (u->n < 150) {
		int i = rand_r(seed) % 8;

		snprintf(name, sizeof(name), "%s%0*d%s", forms[i].before, forms[i].width,
			rand_r(seed) % 120, forms[i].after);
		add(u, name);
	}
	for (size_t i = 0; i < u->n; i++)
		u->chosen[i] = rand_r(seed) % 3 > 0;
}

static void
check_read_back(struct universe *u)
{
	struct arena *a = arena_new(16 << 20);
	struct selector selectors[NAMES_MAX];
	const char *names[NAMES_MAX];
	struct hw_err err = HW_ERR_INIT;
	size_t n = 0, k = 0;
	struct buf out;
	char *rest, *word;

	for (size_t i = 0; i < u->n; i++)
		if (u->chosen[i])
			names[n++] = u->names[i];
	buf_init(&out, 1 << 20);
	cr_assert(eq(int, fold_append(&out, names, n), 0));
	rest = n > 0 ? arena_strdup(a, buf_str(&out)) : NULL;
	while ((word = strsep(&rest, " ")) != NULL)
		cr_assert(eq(int, selector_parse(&selectors[k++], a, word, &err), 0), "%s",
			err.text);
	for (size_t i = 0; i < u->n; i++) {
		struct msg_instance_information node = {.name = u->names[i]};
		size_t hits = 0;

		for (size_t s = 0; s < k; s++)
			hits += selector_match(&selectors[s], &node);
		cr_assert(eq(sz, hits, u->chosen[i] ? 1 : 0), "%s in %s", u->names[i],
			buf_str(&out));
	}
	buf_fini(&out);
	arena_free(a);
}

Test(fold, selectors_read_back_the_same_names_and_no_others)
{
	static struct universe u;
	unsigned seed = 20261126;

	for (int i = 0; i < 60; i++) {
		fill(&u, &seed);
		check_read_back(&u);
	}
}

Test(fold, long_lists_are_parted_where_a_selector_would_be_too_long)
{
	static struct universe u;

	for (unsigned i = 0; i < 360; i++) {
		snprintf(u.names[u.n], sizeof(u.names[0]), "web-%04u", i);
		u.chosen[u.n++] = i % 2 == 0;
	}
	check_read_back(&u);
}
