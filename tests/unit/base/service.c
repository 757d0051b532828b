#include "proto/base/service.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char root[] = "/tmp/hawser-service-XXXXXX";

static void
setup(void)
{
	cr_assert(ne(ptr, mkdtemp(root), NULL));
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void
teardown(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
make(char path[256], const char *name)
{
	snprintf(path, 256, "%s%s", root, name);
	for (char *at = path + sizeof(root); *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		mkdir(path, 0700);
		*at = '/';
	}
	mkdir(path, 0700);
}

TestSuite(service, .init = setup, .fini = teardown);

Test(service, systemd_the_unit_and_its_directory_are_all_needed)
{
	char dir[256], other[256], rest[256];

	make(dir, "/var/lib/hawser-node");
	make(other, "/srv/node");
	cr_expect(not(service_runs(root, "hawser-node", dir)), "no systemd");
	make(rest, "/run/systemd/system");
	cr_expect(not(service_runs(root, "hawser-node", dir)), "no unit");
	make(rest, "/usr/lib/systemd/system/hawser-node.service");
	cr_expect(service_runs(root, "hawser-node", dir));
	cr_expect(not(service_runs(root, "hawser-node", other)), "another directory");
	cr_expect(not(service_runs(root, "hawser-relay", dir)), "another program's");
	cr_expect(not(service_runs(root, "hawser-node", "/none/such")));
}
