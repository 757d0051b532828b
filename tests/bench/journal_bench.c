/*
 * What the journal costs: bulk output, single keystrokes, and waiting for the disk together.
 *
 *   bench_journal [DIR]    the journal is made in DIR (default: the current directory) and removed
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit/journal.h"

#define BULK_RECORD (64 * 1024)
#define BULK_BYTES  (1024u * 1024 * 1024)
#define TYPED	    20000
#define WAITERS	    8
#define WAITS	    1000

static int64_t
now(void)
{
	return clock_mono(&hw_clock_system);
}

static double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void
must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, hw_code_meaning(r));
	exit(1);
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_latency(const char *what, int64_t *usec, size_t n)
{
	qsort(usec, n, sizeof(*usec), by_value);
	printf("%-34s p50 %lld us, p99 %lld us, worst %lld us\n", what, (long long)usec[n / 2],
		(long long)usec[n * 99 / 100], (long long)usec[n - 1]);
}

/* As a recorded shell that prints as fast as it can: a write(2) for every few frames. */
static void
bulk(struct journal *j)
{
	static uint8_t bytes[BULK_RECORD];
	struct journal_record r = {.type = JOURNAL_DATA,
		.stream = 1,
		.session = 1,
		.bytes = bytes,
		.len = sizeof(bytes)};
	jpos end = 0;

	double cpu = cpu_seconds();
	int64_t begin = now();
	for (uint32_t n = 0; n < BULK_BYTES / BULK_RECORD; n++) {
		must(journal_append(j, &r, &end), "append");
		r.offset += sizeof(bytes);
		if (n % 4 == 3)
			must(journal_write(j), "write");
	}
	double written = (double)(now() - begin) / 1e6;
	must(journal_wait(j, end), "wait");
	double synced = (double)(now() - begin) / 1e6, mb = BULK_BYTES / 1e6;
	cpu = cpu_seconds() - cpu;
	printf("%-34s %.0f MB/s, on disk %.0f MB/s, %.2f CPU s per GB\n", "64 KiB records",
		mb / written, mb / synced, cpu / (BULK_BYTES / 1e9));
}

/* At 100 MB/s: which share of a core it takes. */
static void
paced(struct journal *j)
{
	static uint8_t bytes[BULK_RECORD];
	const struct journal_record r = {.type = JOURNAL_DATA,
		.stream = 1,
		.session = 1,
		.bytes = bytes,
		.len = sizeof(bytes)};
	const int64_t gap = 2 * BULK_RECORD / 100; /* microseconds for two records */
	struct journal_stats before, after;

	journal_stats(j, &before);
	double cpu = cpu_seconds();
	int64_t begin = now(), worst = 0;
	for (int n = 0; n < 2000; n++) {
		int64_t t = now(), early = begin + n * gap - t;
		if (early > 0)
			usleep((useconds_t)early);
		t = now();
		must(journal_append(j, &r, NULL), "append");
		must(journal_append(j, &r, NULL), "append");
		must(journal_write(j), "write");
		if (now() - t > worst)
			worst = now() - t;
	}
	double wall = (double)(now() - begin) / 1e6;
	cpu = cpu_seconds() - cpu;
	journal_stats(j, &after);
	printf("%-34s %.0f %% of a core, %llu syncs, worst turn %lld us\n", "at 100 MB/s",
		100 * cpu / wall, (unsigned long long)(after.syncs - before.syncs),
		(long long)worst);
}

static void
typed(struct journal *j)
{
	static int64_t usec[TYPED];
	char bytes[100] = "";
	const struct journal_record r = {
		.type = JOURNAL_DATA, .session = 1, .bytes = bytes, .len = sizeof(bytes)};

	int64_t begin = now();
	for (size_t n = 0; n < TYPED; n++) {
		int64_t t = now();
		must(journal_append(j, &r, NULL), "append");
		must(journal_write(j), "write");
		usec[n] = now() - t;
	}
	printf("%-34s %.2f us on average\n", "100 bytes, append and write",
		(double)(now() - begin) / TYPED);
	print_latency("100 bytes, append and write", usec, TYPED);
}

static void
typed_synced(struct journal *j)
{
	static int64_t usec[2000];
	char bytes[100] = "";
	const struct journal_record r = {
		.type = JOURNAL_DATA, .session = 1, .bytes = bytes, .len = sizeof(bytes)};
	jpos end;

	for (size_t n = 0; n < 2000; n++) {
		int64_t t = now();
		must(journal_append(j, &r, &end), "append");
		must(journal_wait(j, end), "wait");
		usec[n] = now() - t;
	}
	print_latency("100 bytes, on disk", usec, 2000);
}

struct waiter {
	struct journal *journal;
	pthread_t thread;
	int64_t usec[WAITS];
};

static void *
wait_often(void *arg)
{
	struct waiter *w = arg;
	char bytes[300] = "";
	const struct journal_record r = {
		.type = JOURNAL_NOTE, .session = 1, .bytes = bytes, .len = sizeof(bytes)};
	jpos end;

	for (int i = 0; i < WAITS; i++) {
		int64_t t = now();
		must(journal_append(w->journal, &r, &end), "append");
		must(journal_wait(w->journal, end), "wait");
		w->usec[i] = now() - t;
	}
	return NULL;
}

static void
group_commit(struct journal *j)
{
	static struct waiter waiters[WAITERS];
	static int64_t all[WAITERS * WAITS];
	struct journal_stats before, after;

	journal_stats(j, &before);
	int64_t begin = now();
	for (int i = 0; i < WAITERS; i++) {
		waiters[i].journal = j;
		pthread_create(&waiters[i].thread, NULL, wait_often, &waiters[i]);
	}
	for (int i = 0; i < WAITERS; i++) {
		pthread_join(waiters[i].thread, NULL);
		memcpy(all + i * WAITS, waiters[i].usec, sizeof(waiters[i].usec));
	}
	journal_stats(j, &after);
	printf("%-34s %.0f commits/s, %.1f a sync\n", "8 threads, 300 bytes, on disk",
		WAITERS * WAITS / ((double)(now() - begin) / 1e6),
		(double)WAITERS * WAITS / (double)(after.syncs - before.syncs));
	print_latency("8 threads, 300 bytes, on disk", all, WAITERS * WAITS);
}

int
main(int argc, char **argv)
{
	char dir[256];
	struct secret_key master;
	struct hw_err err = HW_ERR_INIT;
	struct journal *j;

	snprintf(dir, sizeof(dir), "%s/bench-journal-XXXXXX", argc > 1 ? argv[1] : ".");
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		return 1;
	}
	secret_key_random(&master);
	const struct journal_config config = {
		.dir = dir, .clock = &hw_clock_system, .master = &master, .threaded = true};
	if (journal_open(&j, &config, NULL, &err) < 0) {
		fprintf(stderr, "%s\n", hw_err_text(&err));
		return 1;
	}
	typed(j);
	typed_synced(j);
	group_commit(j);
	paced(j);
	bulk(j);
	must(journal_drop_below(j, journal_written(j), &err), "drop");
	journal_close(j);
	char command[300];
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}
