/*
 * Runs a fuzz target without libFuzzer: every file of a corpus directory, and a few thousand
 * mutations of them that are the same on each run, so that every build's ctest covers what the
 * fuzzers found.
 *
 *   fuzz_NAME CORPUS-DIR    the corpus and its mutations; an absent directory counts as empty
 *   fuzz_NAME FILE...       each file as it is: to look at one that failed
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUTATIONS 4000	     /* in all, shared by the corpus's files */
#define INPUT_MAX (1u << 20) /* larger files are cut to this */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the sanitizers' runtimes, where there is one. */
extern void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

struct input {
	uint8_t *bytes;
	size_t len;
};

static uint64_t
next_random(uint64_t *state)
{
	/* splitmix64: one word of state, and good enough to pick bits with */
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t
pick(uint64_t *state, size_t bound)
{
	return (size_t)(next_random(state) % bound);
}

/* What runs now, for a process that is about to die of it. */
static const uint8_t *now_bytes;
static size_t now_len;
static char failed_path[NAME_MAX]; /* fuzz_NAME.failed, where the test runs */

static void
save_failed(void)
{
	int fd = open(failed_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0 && write(fd, now_bytes, now_len) == (ssize_t)now_len)
		dprintf(STDERR_FILENO, "the input that failed is in %s\n", failed_path);
}

static void
on_fatal(int signo)
{
	signal(signo, SIG_DFL);
	save_failed();
	raise(signo);
}

/* The target gets a block of exactly its size, so that the sanitizer sees the first byte beyond. */
static void
run_one(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, bytes, len);
	now_bytes = copy;
	now_len = len;
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

/* Bytes on which length fields and counts turn. */
static const uint8_t edges[] = {
	0x00, 0x01, 0x7f, 0x80, 0x81, 0x90, 0xc0, 0xc6, 0xdb, 0xdd, 0xdf, 0xff};

static void
mutate_and_run(const struct input *in, uint8_t *scratch, uint64_t *state)
{
	size_t len = in->len;

	if (len > 0)
		memcpy(scratch, in->bytes, len);
	if (len > 0 && pick(state, 4) == 0)
		len = pick(state, len);
	for (size_t n = 1 + pick(state, 4); n > 0 && len > 0; n--) {
		size_t at = pick(state, len);

		if (pick(state, 2) == 0)
			scratch[at] ^= (uint8_t)(1u << pick(state, 8));
		else
			scratch[at] = edges[pick(state, sizeof(edges))];
	}
	run_one(scratch, len);
}

static int
input_read(struct input *in, const char *path)
{
	struct stat st;
	FILE *f = fopen(path, "rbe");

	if (f == NULL || fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode)) {
		if (f != NULL)
			fclose(f);
		return -1;
	}
	in->len = (uint64_t)st.st_size < INPUT_MAX ? (size_t)st.st_size : INPUT_MAX;
	in->bytes = malloc(in->len ? in->len : 1);
	if (in->bytes == NULL)
		abort();
	in->len = fread(in->bytes, 1, in->len, f);
	fclose(f);
	return 0;
}

static int
replay_file(const char *path)
{
	struct input in;

	if (input_read(&in, path) < 0) {
		fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
		return 1;
	}
	run_one(in.bytes, in.len);
	free(in.bytes);
	return 0;
}

static int
not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int
replay_directory(const char *dir)
{
	struct dirent **entries = NULL;
	static uint8_t scratch[INPUT_MAX];
	uint64_t state = 1;
	int files = 0, runs = 0;

	int n = scandir(dir, &entries, not_hidden, alphasort);
	if (n < 0 && errno != ENOENT) {
		fprintf(stderr, "cannot list %s: %s\n", dir, strerror(errno));
		return 1;
	}
	run_one(NULL, 0);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct input in;

		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		free(entries[i]);
		if (input_read(&in, path) < 0)
			continue;
		run_one(in.bytes, in.len);
		for (int m = 0; m < 1 + MUTATIONS / n; m++, runs++)
			mutate_and_run(&in, scratch, &state);
		free(in.bytes);
		files++;
	}
	free(entries);
	printf("%d files, %d mutations\n", files, runs);
	return 0;
}

int
main(int argc, char **argv)
{
	struct stat st;
	int failed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s CORPUS-DIR | FILE...\n", argv[0]);
		return 2;
	}
	snprintf(failed_path, sizeof(failed_path), "%s.failed", program_invocation_short_name);
	signal(SIGABRT, on_fatal);
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(save_failed);
	else
		signal(SIGSEGV, on_fatal);
	if (argc == 2 && (stat(argv[1], &st) < 0 || S_ISDIR(st.st_mode)))
		return replay_directory(argv[1]);
	for (int i = 1; i < argc; i++)
		failed |= replay_file(argv[i]);
	return failed;
}
