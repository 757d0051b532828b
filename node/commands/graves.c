#include "node/commands/graves.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/id.h"

#define NAME	   "ended"
#define LINE_MAX   64	/* "UUID SECONDS\n" */
#define SPARE	   1000 /* lines that the file may have for nothing */
#define USEC	   INT64_C(1000000)
#define FIRST_ROOM 64

/* Open addressing; `until` 0 is an empty place. */
struct grave {
	uint8_t id[16];
	int64_t until;
};

struct graves {
	int dir;
	struct grave *table;
	size_t room, n; /* room is a power of two */
	size_t lines;	/* of the file */
};

static bool
pack(uint8_t out[16], const char *id)
{
	char digits[33];
	size_t n = 0;

	if (!id_is_uuid(id))
		return false;
	for (; *id != '\0'; id++)
		if (*id != '-')
			digits[n++] = *id;
	for (size_t i = 0; i < 16; i++) {
		unsigned byte;
		char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
		sscanf(pair, "%x", &byte);
		out[i] = (uint8_t)byte;
	}
	return true;
}

/* Ids are random, and those that are not come from the relay, which gains nothing by it. */
static size_t
place(const struct graves *g, const uint8_t id[16])
{
	uint64_t h, low;

	memcpy(&h, id, sizeof(h));
	memcpy(&low, id + 8, sizeof(low));
	h = (h * UINT64_C(0x9e3779b97f4a7c15) ^ low) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(h >> 32) & (g->room - 1);
	while (g->table[at].until != 0 && memcmp(g->table[at].id, id, 16) != 0)
		at = (at + 1) & (g->room - 1);
	return at;
}

/* With those alone that are still good, and room for as many again. */
static bool
rebuild(struct graves *g, int64_t now)
{
	struct graves next = {.room = FIRST_ROOM};
	size_t good = 0;

	for (size_t i = 0; i < g->room; i++)
		good += g->table[i].until > now;
	while (next.room < 4 * (good + 1))
		next.room *= 2;
	if ((next.table = calloc(next.room, sizeof(*next.table))) == NULL)
		return false;
	for (size_t i = 0; i < g->room; i++)
		if (g->table[i].until > now)
			next.table[place(&next, g->table[i].id)] = g->table[i];
	free(g->table);
	g->table = next.table;
	g->room = next.room;
	g->n = good;
	return true;
}

static void
drop_first(struct graves *g)
{
	size_t first = g->room;

	for (size_t i = 0; i < g->room; i++)
		if (g->table[i].until != 0 &&
			(first == g->room || g->table[i].until < g->table[first].until))
			first = i;
	if (first < g->room)
		rebuild(g, g->table[first].until);
}

static void
put(struct graves *g, const uint8_t id[16], int64_t until, int64_t now)
{
	if (2 * (g->n + 1) > g->room && !rebuild(g, now))
		return;
	if (g->n >= GRAVES_MAX)
		drop_first(g);
	struct grave *at = &g->table[place(g, id)];
	g->n += at->until == 0;
	memcpy(at->id, id, 16);
	at->until = until;
}

/* --- the file --------------------------------------------------------------------------------- */

static void
take_line(struct graves *g, char *line)
{
	uint8_t id[16];
	int64_t seconds;
	int end = -1;

	g->lines++;
	if (strlen(line) < ID_UUID_LEN + 2 || line[ID_UUID_LEN] != ' ' ||
		sscanf(line + ID_UUID_LEN, " %15" SCNd64 "%n", &seconds, &end) != 1 ||
		line[ID_UUID_LEN + end] != '\0' || seconds <= 0)
		return;
	line[ID_UUID_LEN] = '\0';
	if (pack(id, line))
		put(g, id, seconds * USEC, 0);
}

/* A last line without its end was cut: its id may be another's. */
static void
load(struct graves *g)
{
	char line[LINE_MAX];
	int fd = openat(g->dir, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char *end = strchr(line, '\n');
		if (end == NULL)
			continue;
		*end = '\0';
		take_line(g, line);
	}
	if (f != NULL)
		fclose(f);
	else
		fd_close(fd);
}

static int
print_line(char out[LINE_MAX], const uint8_t b[16], int64_t until)
{
	return snprintf(out, LINE_MAX,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x %" PRId64
		"\n",
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		b[13], b[14], b[15], (until + USEC - 1) / USEC);
}

/* The relay has the end of each of them: a line that a power cut takes is not missed. After a piece
 * of a line, whatever left it, a new one begins. */
static void
append(struct graves *g, const uint8_t id[16], int64_t until)
{
	char line[LINE_MAX + 1] = "\n";
	int fd = openat(g->dir, NAME, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	int n = print_line(line + 1, id, until);

	if (fd < 0)
		return;
	if (write(fd, line, (size_t)n + 1) == n + 1)
		g->lines += 2;
	close(fd);
}

static void
rewrite(struct graves *g)
{
	struct buf text;
	char line[LINE_MAX];

	buf_init(&text, (size_t)GRAVES_MAX * LINE_MAX);
	for (size_t i = 0; i < g->room; i++)
		if (g->table[i].until != 0)
			buf_append(&text, line,
				(size_t)print_line(line, g->table[i].id, g->table[i].until));
	if (!text.failed && file_write(g->dir, NAME, buf_data(&text), text.len, 0600, NULL) == 0)
		g->lines = g->n;
	buf_fini(&text);
}

/* --- what is asked ---------------------------------------------------------------------------- */

void
graves_add(struct graves *g, const char *id, int64_t until, int64_t now)
{
	uint8_t packed[16];

	if (until <= now || !pack(packed, id))
		return;
	put(g, packed, until, now);
	append(g, packed, until);
	if (g->lines > 4 * g->n + SPARE)
		graves_forget(g, now);
}

bool
graves_has(const struct graves *g, const char *id, int64_t now)
{
	uint8_t packed[16];

	return pack(packed, id) && g->table[place(g, packed)].until > now;
}

void
graves_forget(struct graves *g, int64_t now)
{
	if (rebuild(g, now) && g->lines > g->n)
		rewrite(g);
}

struct graves *
graves_open(int dir)
{
	struct graves *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->dir = dir;
	if (!rebuild(g, 0)) {
		free(g);
		return NULL;
	}
	load(g);
	return g;
}

void
graves_close(struct graves *g)
{
	if (g == NULL)
		return;
	free(g->table);
	free(g);
}
