/* A recording's file: blocks that are sealed as they should be, with any bytes as events and any
 * sizes. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "audit/bytes.h"
#include "audit/recording_file.h"
#include "proto/base/file.h"
#include "proto/wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct secret_key master = {
	{1, 2, 3}
};
static char dir[64];

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

	snprintf(dir, sizeof(dir), "%.40s/fuzz-recording-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		abort();
	atexit(remove_dir);
}

static void
put_head(struct buf *out, struct recording_chain *chain)
{
	struct msg_recording_meta meta = {.session_id = "alice-1", .type = CHANNEL_TYPE_PTY};
	const struct recording_head head = {.session = 1};
	struct secret_key wrap;
	struct buf m;

	secret_key_derive(&wrap, &master, "hawser recordings");
	buf_init(&m, 4096);
	if (msg_encode(&m, MSG_ROW(recording_meta), &meta, NULL) < 0 ||
		recording_head_make(out, chain, &head, buf_data(&m), m.len, &wrap) < 0)
		abort();
	buf_fini(&m);
}

/* A command byte at a time: a block with packed or bare bytes, or bytes that are no block. */
static void
build(struct buf *out, const uint8_t *data, size_t size)
{
	struct recording_chain chain;
	uint8_t packed[8192];

	put_head(out, &chain);
	while (size >= 6 && out->len < 100000) {
		size_t len = (size_t)(data[1] | data[2] << 8) % 4096;
		size_t n = len < size - 6 ? len : size - 6;
		struct recording_block block = {.to = data[3],
			.raw_len = (uint32_t)n,
			.flags = data[5] % 16 == 0 ? BLOCK_LAST : 0};
		if (data[4] % 8 == 0)
			block.raw_len = get_le32(data);
		const uint8_t *p = data + 6;
		if (data[0] % 4 == 0) {
			buf_append(out, p, n);
		} else if (data[0] % 4 == 1) {
			recording_block_make(out, &chain, &block, p, n);
		} else {
			size_t did = ZSTD_compress(packed, sizeof(packed), p, n, 1);
			recording_block_make(out, &chain, &block, packed, did);
		}
		data += 6 + n;
		size -= 6 + n;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile uint8_t sum = 0;
	struct recording *r;
	const uint8_t *p;
	struct buf file;
	int d, code;
	size_t n;

	if (dir[0] == '\0')
		make_dir();
	buf_init(&file, 1 << 20);
	build(&file, data, size);
	clear_dir();
	if (dir_open(&d, dir, true, NULL) < 0)
		abort();
	int fd = openat(d, "alice-1.rec", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write_all(fd, buf_data(&file), file.len, NULL) < 0)
		abort();
	fd_close(fd);
	fd_close(d);
	buf_fini(&file);
	if (recording_open(&r, dir, "alice-1", &master, NULL) < 0)
		abort();
	while ((code = recording_next(r, &p, &n, NULL)) == 1) {
		if (n > RECORDING_BLOCK_MAX)
			abort();
		for (size_t i = 0; i < n; i++)
			sum += p[i];
	}
	if (code != 0 && code != HW_ECORRUPT)
		abort();
	recording_close(r);
	return 0;
}
