#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/file.h"
#include "relay/core/relay.h"

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

Test(init, a_master_key_elsewhere_is_found_from_any_directory)
{
	char dir[] = "/tmp/hawser-init-XXXXXX", relay[64], key[128], invite[RELAY_INVITE_LEN + 1],
	     url[512];
	struct relay_config config;
	struct hw_err err = HW_ERR_INIT;
	int fd = -1;

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(relay, sizeof(relay), "%s/relay", dir);
	snprintf(key, sizeof(key), "%s/../%s/vault.key", dir, strrchr(dir, '/') + 1);
	struct relay_init_options o = {.dir = relay, .listen = "127.0.0.1:8443", .master_key = key};
	cr_assert(eq(int, relay_init(&o, invite, url, &err), 0), "%s", err.text);
	cr_assert(eq(int, dir_open(&fd, relay, false, &err), 0));
	cr_assert(eq(int, relay_config_load(&config, fd, &err), 0), "%s", err.text);
	snprintf(key, sizeof(key), "%s/vault.key", dir);
	cr_assert_str_eq(config.master_key, key);
	fd_close(fd);

	cr_assert(eq(int, relay_init(&o, invite, url, &err), HW_EEXISTS));
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

Test(init, an_address_that_nobody_can_dial_is_refused)
{
	char dir[] = "/tmp/hawser-init-XXXXXX", invite[RELAY_INVITE_LEN + 1], url[512];
	struct hw_err err = HW_ERR_INIT;

	cr_assert(mkdtemp(dir) != NULL);
	struct relay_init_options o = {.dir = dir, .advertise = ":8443"};
	cr_assert(eq(int, relay_init(&o, invite, url, &err), HW_EVALIDATION));
	cr_assert(ne(ptr, strstr(err.text, "--advertise"), NULL), "%s", err.text);
	rmdir(dir);
}
