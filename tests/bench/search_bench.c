/*
 * What finding costs: an index of a ledger of N entries, questions to it, and lines that are
 * searched. search_bench [ENTRIES] [MB]; prints a table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/ledger.h"
#include "audit/line_search.h"
#include "audit/search.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"

#define DAYS 30

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of this process, as the machine may have other work. */
static double
cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
count(void *arg, const struct search_found *f)
{
	(void)f;
	++*(size_t *)arg;
	return SEARCH_PASS;
}

static int
count_page(void *arg, const struct search_found *f)
{
	size_t *n = arg;

	(void)f;
	return ++*n > 50 ? SEARCH_STOP : SEARCH_PASS;
}

static void
ask(struct search *s, const char *what, const struct search_query *q, search_fn *fn)
{
	struct arena *a = arena_new(64 << 20);
	uint64_t at = search_begin(s, q);
	int pages = 0, r;
	size_t n = 0;
	double began = now(), used = cpu();

	do {
		r = search_walk(s, search_index_resets(search_index_of(s)), q, &at, a, fn, &n,
			NULL);
		pages++;
	} while (r == 1 && fn == count);
	printf("%-32s %8.2f ms, CPU %8.2f ms  %7zu entries  %d pages\n", what,
		(now() - began) * 1e3, (cpu() - used) * 1e3, n, pages);
	arena_free(a);
}

/* Thirty days, as the clock has them. */
static void
fill(struct journal *j, struct ledger *l, long entries, struct fake_clock *clock)
{
	for (long i = 0; i < entries; i++) {
		fake_clock_advance(clock, DAYS * 24 * 3600 * USEC_PER_SEC / entries);
		char who[64], node[96], session[64];
		snprintf(who, sizeof(who), "arn:aws:iam::000000000000:user/user-%ld", i % 500);
		snprintf(node, sizeof(node),
			"arn:aws:ssm:local:000000000000:managed-instance/mi-%017lx",
			i * 7919 % 10000);
		snprintf(session, sizeof(session), "user-%ld-%017lx", i % 500, i / 6);
		const struct msg_ledger_entry e = {
			.principal = who,
			.action = "ssm:StartSession",
			.resource = node,
			.outcome = i % 997 == 0 ? OUTCOME_DENIED : OUTCOME_ALLOWED,
			.reason = "statement Sessions of policy operator",
			.request_id = "11111111-2222-4333-8444-555555555555",
			.session_id = i % 3 == 0 ? session : NULL,
			.source = "192.0.2.17",
			.detail =
				"{\"Target\":\"mi-00000000000000001\",\"Reason\":\"ticket 4711\"}",
		};
		if (ledger_append(l, i % 101 == 0 ? ENTRY_USER_LOGIN : ENTRY_DECISION, &e, NULL) <
			0)
			abort();
		if (i % 20000 == 0)
			journal_write(j);
	}
	journal_wait(j, journal_written(j));
	journal_write(j);
}

static void
bench_entries(long entries)
{
	char dir[] = "/tmp/hawser-search-XXXXXX", journal[64], ledger[64], index[64], command[80];
	struct hw_err err = HW_ERR_INIT;
	struct secret_key master;
	struct journal *j;
	struct search *s;

	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(journal, sizeof(journal), "%s/journal", dir);
	snprintf(ledger, sizeof(ledger), "%s/ledger", dir);
	snprintf(index, sizeof(index), "%s/index", dir);
	secret_key_random(&master);
	const struct journal_config jc = {
		.dir = journal, .clock = &hw_clock_system, .master = &master};
	if (journal_open(&j, &jc, NULL, &err) < 0)
		abort();
	struct fake_clock clock;
	fake_clock_init(&clock, clock_wall(&hw_clock_system) - DAYS * 24 * 3600 * USEC_PER_SEC);
	struct ledger *l = ledger_new(j, "relay", &clock.clock);
	double began = now();
	fill(j, l, entries, &clock);
	printf("%ld entries appended in %.1f s\n", entries, now() - began);
	const struct search_config sc = {.dir = index,
		.ledger_dir = ledger,
		.journal_dir = journal,
		.journal = j,
		.master = &master};
	uint64_t as_of;
	began = now();
	if (search_new(&s, &sc, &err) < 0 || search_catch_up(s, &as_of, &err) < 0)
		abort();
	double took = now() - began;
	printf("indexed in %.1f s, %.1f us an entry\n", took, took * 1e6 / (double)entries);
	snprintf(command, sizeof(command), "du -sk %s/journal %s/index", dir, dir);
	fflush(stdout);
	if (system(command) != 0)
		abort();
	ask(s, "the newest 50", &(struct search_query){.kinds = 0}, count_page);
	ask(s, "a user's newest 50", &(struct search_query){.terms[TERM_PRINCIPAL] = "user-7"},
		count_page);
	ask(s, "all of one user", &(struct search_query){.terms[TERM_PRINCIPAL] = "user-7"}, count);
	ask(s, "all that was denied", &(struct search_query){.outcome = OUTCOME_DENIED}, count);
	ask(s, "one node", &(struct search_query){.terms[TERM_NODE] = "mi-00000000000000001"},
		count);
	ask(s, "one session",
		&(struct search_query){.terms[TERM_SESSION] = "user-6-00000000000000001"}, count);
	int64_t end = clock_wall(&clock.clock), hour = 3600 * USEC_PER_SEC;
	ask(s, "an hour two weeks ago",
		&(struct search_query){.since = end - 337 * hour, .until = end - 336 * hour},
		count);
	ask(s, "a user on a day two weeks ago",
		&(struct search_query){.terms[TERM_PRINCIPAL] = "user-7",
			.since = end - 360 * hour,
			.until = end - 336 * hour},
		count);
	ask(s, "all of one kind", &(struct search_query){.kinds = UINT64_C(1) << ENTRY_USER_LOGIN},
		count);
	ask(s, "a user on a node",
		&(struct search_query){.terms[TERM_PRINCIPAL] = "user-7",
			.terms[TERM_NODE] = "mi-00000000000000007"},
		count);
	ask(s, "nothing", &(struct search_query){.terms[TERM_PRINCIPAL] = "nobody"}, count);
	search_free(s);
	began = now();
	if (search_new(&s, &sc, &err) < 0)
		abort();
	printf("opened again in %.1f ms\n", (now() - began) * 1e3);
	search_free(s);
	ledger_free(l);
	journal_close(j);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command) != 0)
		abort();
}

static int
count_line(void *arg, const struct line_hit *hit)
{
	(void)hit;
	++*(long *)arg;
	return 0;
}

static void
bench_lines(const char *pattern, const char *what, const uint8_t *text, size_t n, long mb)
{
	struct line_search s = {.shown = true, .found = count_line};
	long hits = 0, chunks = mb * 1024 * 1024 / (long)n;
	double began = now();

	s.arg = &hits;
	line_search_init(&s);
	if (line_pattern_new(&s.pattern, pattern, false, NULL) < 0)
		abort();
	for (long i = 0; i < chunks; i++)
		line_search_bytes(&s, LINE_SHOWN, i, text, n);
	line_search_end(&s);
	double took = now() - began;
	printf("%-10s %-24s %7.0f MB/s  %ld hits\n", what, pattern,
		(double)chunks * (double)n / took / 1e6, hits);
	line_pattern_free(s.pattern);
	line_search_fini(&s);
}

int
main(int argc, char **argv)
{
	long entries = argc > 1 ? atol(argv[1]) : 1000000, mb = argc > 2 ? atol(argv[2]) : 256;
	static uint8_t plain[60000], coloured[60000];
	size_t n = 0, m = 0;

	while (n < sizeof(plain) - 100)
		n += (size_t)snprintf((char *)plain + n, 100,
			"drwxr-xr-x 2 root root   4096 Jul  7 09:12 directory-%zu\r\n", n % 977);
	while (m < sizeof(coloured) - 100)
		m += (size_t)snprintf((char *)coloured + m, 100,
			"\033[01;34mdirectory-%zu\033[0m  \033[32mfile.c\033[0m\033[K\r\n",
			m % 977);
	static const char *const patterns[] = {
		"no-such-text", "directory-9\\d\\d$", "[Dd]rop +[Tt]able"};
	for (size_t i = 0; i < 3; i++) {
		bench_lines(patterns[i], "plain", plain, n, mb);
		bench_lines(patterns[i], "coloured", coloured, m, mb);
	}
	if (entries > 0)
		bench_entries(entries);
	return 0;
}
