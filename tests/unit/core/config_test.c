#include "relay/core/config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/file.h"

static int
load(struct relay_config *c, const char *text, struct hw_err *err)
{
	char dir[] = "/tmp/hawser-config-XXXXXX";
	int fd = -1;

	cr_assert(mkdtemp(dir) != NULL);
	cr_assert(eq(int, dir_open(&fd, dir, false, err), 0));
	cr_assert(eq(int, file_write(fd, "relay.conf", text, strlen(text), 0600, err), 0));
	int r = relay_config_load(c, fd, err);
	unlinkat(fd, "relay.conf", 0);
	fd_close(fd);
	rmdir(dir);
	return r;
}

Test(config, what_is_saved_is_read_back)
{
	struct relay_config a, b;
	struct hw_err err = HW_ERR_INIT;
	char dir[] = "/tmp/hawser-config-XXXXXX";
	int fd = -1;

	cr_assert(mkdtemp(dir) != NULL);
	cr_assert(eq(int, dir_open(&fd, dir, false, &err), 0));
	relay_config_default(&a);
	a.listen_port = 9999;
	a.durability = DURABILITY_SYNC;
	strcpy(a.region, "eu-hawser-1");
	cr_assert(eq(int, relay_config_save(&a, fd, &err), 0));
	cr_assert(eq(int, relay_config_load(&b, fd, &err), 0), "%s", err.text);
	cr_assert(eq(int, memcmp(&a, &b, sizeof(a)), 0));
	unlinkat(fd, "relay.conf", 0);
	fd_close(fd);
	rmdir(dir);
}

Test(config, an_unknown_setting_is_named)
{
	struct relay_config c;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, load(&c, "# comment\n\nworkers = 2\ncolour = blue\n", &err),
		HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(err.text, "colour"), NULL));
}

Test(config, a_number_out_of_range_says_the_range)
{
	struct relay_config c;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, load(&c, "listen_port = 70000\n", &err), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(err.text, "1 to 65535"), NULL), "%s", err.text);
	cr_assert(eq(int, load(&c, "listen_port = 80x\n", &err), HW_EVALIDATION));
	cr_assert(eq(int, load(&c, "durability = never\n", &err), HW_EVALIDATION));
	cr_assert(eq(int, load(&c, "listen_port\n", &err), HW_EVALIDATION));
}

Test(config, what_may_change_while_it_runs_does_and_the_rest_is_named)
{
	struct config_changes done;
	struct relay_config a, b;

	relay_config_default(&a);
	b = a;
	relay_config_apply(&done, &a, &b);
	cr_assert(eq(sz, done.n_changed + done.n_restart, 0));
	b.max_sessions = 7;
	b.workers++;
	strcpy(b.region, "eu-hawser-1");
	relay_config_apply(&done, &a, &b);
	cr_assert(eq(sz, done.n_changed, 1));
	cr_assert_str_eq(done.changed[0], "max_sessions");
	cr_assert(eq(sz, done.n_restart, 2));
	cr_assert_str_eq(done.restart[0], "region");
	cr_assert_str_eq(done.restart[1], "workers");
	cr_assert(eq(int, a.max_sessions, 7));
	cr_assert(eq(int, a.workers, b.workers - 1));
	cr_assert_str_eq(a.region, "local");
}

Test(config, a_format_of_the_log_is_one_of_three)
{
	struct relay_config c;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, load(&c, "log_format = json\n", &err), 0));
	cr_assert(eq(int, c.log_format, LOG_FORMAT_JSON));
	cr_assert(eq(int, load(&c, "log_format = xml\n", &err), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(err.text, "xml"), NULL), "%s", err.text);
}
