#include "client/meter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/terminal.h"
#include "proto/base/clock.h"
#include "proto/base/display.h"
#include "proto/base/file.h"

#define WIPE	 "\r\x1b[K"
#define LINE_MAX 1024

void
meter_init(struct meter *m, bool writes)
{
	const char *term = getenv("TERM");
	bool able = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;

	*m = (struct meter){.fd = STDERR_FILENO, .began = clock_mono(&hw_clock_system)};
	m->live = able && isatty(STDERR_FILENO) && !(writes && isatty(STDOUT_FILENO));
}

static void
append_size(struct buf *out, double bytes, const char *after)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	size_t unit = 0;

	for (; bytes >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		bytes /= 1000;
	buf_printf(out, unit > 0 && bytes < 100 ? "  %.1f %s%s" : "  %.0f %s%s", bytes, units[unit],
		after);
}

void
meter_append(struct buf *out, const char *what, uint64_t bytes, int64_t elapsed, int cols)
{
	size_t room = cols > 1 ? (size_t)cols - 1 : 0; /* the last column would wrap */
	int64_t s = elapsed / USEC_PER_SEC;
	struct buf line;

	buf_init(&line, LINE_MAX);
	display_append(&line, what, strlen(what));
	if (bytes > 0) {
		append_size(&line, (double)bytes, "");
		if (elapsed > 0)
			append_size(&line, (double)bytes * USEC_PER_SEC / (double)elapsed, "/s");
	}
	buf_printf(&line, "  %lld:%02d", (long long)(s / 60), (int)(s % 60));
	buf_append(out, buf_data(&line), line.len < room ? line.len : room);
	buf_fini(&line);
}

void
meter_show(struct meter *m, uint64_t bytes, const char *fmt, ...)
{
	char what[256];
	struct buf line;
	int cols, rows;
	va_list ap;

	if (!m->live)
		return;
	int64_t now = clock_mono(&hw_clock_system);
	if (now - m->began < METER_AFTER || now - m->drawn < METER_EVERY)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	terminal_size(&cols, &rows);
	buf_init(&line, 2 * LINE_MAX);
	buf_append_str(&line, WIPE);
	meter_append(&line, what, bytes, now - m->began, cols);
	/* A line that could not be drawn is missed by nobody. */
	(void)fd_write_all(m->fd, buf_data(&line), line.len, NULL);
	buf_fini(&line);
	m->shown = true;
	m->drawn = now;
}

void
meter_hide(struct meter *m)
{
	if (m->shown)
		(void)fd_write_all(m->fd, WIPE, strlen(WIPE), NULL);
	m->shown = false;
}
