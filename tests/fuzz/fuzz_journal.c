/*
 * A segment of a journal as a crash or an intruder may have left it. The input says what is in the
 * file: records that are sealed as they should be, bytes that are not, and one flipped bit. Reading
 * it, repairing it and writing on must not crash, and a repaired journal is whole.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/journal_segment.h"
#include "proto/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (64 * 1024)

static const struct secret_key master =
				       {
					       {1, 2, 3}
},
			       segment_key = {{4, 5, 6}};
static char dir[64];

static int
no_sync(void *arg, int fd)
{
	(void)arg;
	(void)fd;
	return 0;
}

static const struct journal_io io = {.sync = no_sync};

/* What an input left. */
static void
clear_dir(void)
{
	struct dirent *entry;
	DIR *d = opendir(dir);

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		closedir(d);
}

static void
remove_dir(void)
{
	clear_dir();
	rmdir(dir);
}

static void
make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.40s/fuzz-journal-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		abort();
	atexit(remove_dir);
}

/* The file: a good head, then what the input asks for, a command byte at a time. */
static size_t
build(uint8_t *file, const uint8_t *data, size_t size)
{
	const struct segment_head head = {.first = 0};
	struct secret_stream *key = secret_stream_new(&segment_key);
	struct secret_key wrap;
	size_t n = SEGMENT_HEAD_LEN;

	secret_key_derive(&wrap, &master, "hawser journal");
	if (key == NULL || segment_head_make(file, &head, &segment_key, &wrap) < 0)
		abort();
	while (size >= 4) {
		size_t len = (size_t)(data[1] | data[2] << 8) % 2048;
		size_t there = len < size - 4 ? len : size - 4;
		if (n + FRAME_LEN(len) > FILE_MAX)
			break;
		const struct journal_record r = {.type = (enum journal_type)(data[3] % 16),
			.stream = data[3],
			.flags = data[0],
			.session = data[1],
			.offset = data[3] >> 4,
			.bytes = data + 4,
			.len = there};
		if (data[0] % 4 != 0) {
			if (segment_frame_make(file + n, key, n - SEGMENT_HEAD_LEN, &r) < 0)
				abort();
			n += FRAME_LEN(there);
		} else {
			memcpy(file + n, data + 4, there);
			n += there;
		}
		if (data[0] == 255 && n > 200)
			file[n - 1 - data[1] % 200] ^= 1;
		data += 4 + there;
		size -= 4 + there;
	}
	secret_stream_free(key);
	return n;
}

static void
write_file(const uint8_t *file, size_t n)
{
	char name[SEGMENT_NAME_LEN + 1];
	int d, fd;

	clear_dir();
	segment_name(name, 0);
	if (dir_open(&d, dir, true, NULL) < 0)
		abort();
	fd = openat(d, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write_all(fd, file, n, NULL) < 0)
		abort();
	fd_close(fd);
	fd_close(d);
}

/* Records, or a code. */
static int
count(void)
{
	struct journal_reader *r;
	struct journal_record rec;
	volatile uint8_t sum = 0;
	int n = 0, code;
	jpos end, last = 0;

	if ((code = journal_reader_open(&r, dir, &master, 0, NULL)) < 0)
		return code;
	while ((code = journal_reader_next(r, &rec, &end, NULL)) == 1) {
		if (end <= last || rec.len > JOURNAL_RECORD_MAX)
			abort();
		for (size_t i = 0; i < rec.len; i++)
			sum += ((const uint8_t *)rec.bytes)[i];
		last = end;
		n++;
	}
	journal_reader_close(r);
	return code < 0 ? code : n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[FILE_MAX];
	const struct journal_record more = {.type = JOURNAL_NOTE, .bytes = "more", .len = 4};
	const struct journal_config config = {
		.dir = dir, .clock = &hw_clock_system, .master = &master, .io = &io};
	struct journal *j;
	uint64_t cut;

	if (dir[0] == '\0')
		make_dir();
	write_file(file, build(file, data, size));
	int before = count();
	if (journal_open(&j, &config, NULL, NULL) < 0)
		return 0; /* damaged, or ledger entries out of order */
	if (before < 0)
		abort(); /* what is repaired was readable up to there */
	if (journal_append(j, &more, NULL) < 0)
		abort();
	journal_close(j);
	if (count() != before + 1)
		abort();
	if (journal_open(&j, &config, &cut, NULL) < 0 || cut != 0)
		abort();
	journal_close(j);
	return 0;
}
