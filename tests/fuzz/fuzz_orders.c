/* The log of a command on a node's disk, as it may be after a crash: what is whole of it is read,
 * the same when it is read again, and what is added afterwards is read behind it. Input are
 * records, to which the checksums are made here; with the first bit set it is the file as it is. */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/commands/orders.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

#define ID  "00000000-0000-4000-8000-000000000000"
#define LOG "commands/" ID ".log"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head {
	uint32_t len, kind;
	uint64_t sum;
};

static uint64_t
sum(uint64_t s, const void *p, size_t n)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++)
		s = (s ^ bytes[i]) * UINT64_C(0x100000001b3);
	return s;
}

/* Each is a byte of kind, two of length, and a body. */
static void
write_records(int fd, const uint8_t *p, size_t n)
{
	while (n >= 3) {
		struct head h = {.kind = p[0] & 0x0f, .len = p[1] | (uint32_t)p[2] << 8};

		p += 3;
		n -= 3;
		h.len = h.len < n ? h.len : (uint32_t)n;
		h.sum = sum(sum(UINT64_C(0xcbf29ce484222325), &h, 8), p, h.len);
		hw_assert(write(fd, &h, sizeof(h)) == sizeof(h));
		hw_assert(write(fd, p, h.len) == (ssize_t)h.len);
		p += h.len;
		n -= h.len;
	}
}

static void
write_log(int dir, const uint8_t *data, size_t size)
{
	int fd = openat(dir, LOG, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	hw_assert(fd >= 0);
	if (size > 0 && (data[0] & 0x80) != 0)
		hw_assert(write(fd, data, size) == (ssize_t)size);
	else
		write_records(fd, data, size);
	close(fd);
}

static void
check_entry(const struct orders_entry *e)
{
	hw_assert(e->order != NULL && strcmp(e->order->command_id, ID) == 0);
	hw_assert(e->n_steps <= ORDERS_STEPS_MAX && (e->n_steps == 0 || e->steps != NULL));
	for (size_t i = 0; i < e->n_steps; i++)
		if (e->steps[i].said != NULL)
			hw_assert(e->steps[i].said->name[0] != '\0');
	hw_assert(!e->rebooting || e->reboots > 0);
	if (e->reboots > 0)
		hw_assert(e->reboot.step < ORDERS_STEPS_MAX &&
			strlen(e->reboot.boot_id) < sizeof(e->reboot.boot_id));
}

static void
count(void *arg, const char *id, const struct orders_entry *e)
{
	hw_assert(strcmp(id, ID) == 0);
	check_entry(e);
	++*(int *)arg;
}

/* What follows is read, whatever was cut. */
static void
check_more(struct orders *j, const struct orders_entry *before)
{
	const struct msg_invocation_step said = {.name = "last",
		.action = "aws:runShellScript",
		.status_details = "",
		.status = INVOCATION_STATUS_IN_PROGRESS};
	struct arena *a = arena_new(64 * 1024 * 1024);
	struct orders_entry e;

	hw_assert(orders_step(j, ID, ORDERS_STEPS_MAX - 1, &said, false, NULL) == 0);
	hw_assert(orders_cancel(j, ID, NULL) == 0);
	hw_assert(orders_read(&e, a, j, ID, NULL) == 0);
	check_entry(&e);
	hw_assert(e.cancelled && e.n_steps == ORDERS_STEPS_MAX && e.started == before->started);
	hw_assert(e.reboots == before->reboots && !e.rebooting);
	hw_assert(strcmp(e.steps[ORDERS_STEPS_MAX - 1].said->name, "last") == 0);
	arena_free(a);
}

static char where[] = "/tmp/hawser-fuzz-orders-XXXXXX";

static void
remove_folder(void)
{
	if (chdir(where) == 0) {
		unlink("commands/ended");
		rmdir("commands");
	}
	rmdir(where);
}

static int
folder(void)
{
	int dir = mkdtemp(where) != NULL ? open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	hw_assert(dir >= 0 && atexit(remove_folder) == 0);
	return dir;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int dir = -1;
	struct hw_err err = HW_ERR_INIT;
	struct orders *j;
	struct orders_entry e;
	struct arena *a = arena_new(64 * 1024 * 1024);
	int n = 0;

	if (dir < 0)
		dir = folder();
	hw_assert(orders_open(&j, dir, &err) == 0);
	write_log(dir, data, size);
	orders_each(j, count, &n);
	int r = orders_read(&e, a, j, ID, &err);
	hw_assert(n == (r == 0));
	if (r == 0)
		check_more(j, &e);
	orders_remove(j, ID, r == 0 ? ORDERS_STEPS_MAX : 0);
	hw_assert(faccessat(dir, LOG, F_OK, 0) < 0);
	orders_close(j);
	arena_free(a);
	return 0;
}
