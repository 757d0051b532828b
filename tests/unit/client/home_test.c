#include "client/home.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"

static void
scratch(struct home *h)
{
	char dir[] = "/tmp/hawser-home-XXXXXX";

	cr_assert(mkdtemp(dir) != NULL);
	*h = (struct home){0};
	snprintf(h->path, sizeof(h->path), "%s/deep/home", dir);
}

static void
remove_scratch(struct home *h)
{
	rmdir(h->path);
	for (int i = 0; i < 2; i++) {
		*strrchr(h->path, '/') = '\0';
		rmdir(h->path);
	}
}

Test(home, comes_back_as_it_was_saved)
{
	struct home h, back;
	struct stat st;
	bool had;

	scratch(&h);
	strcpy(h.relay, "https://relay.example.net:8443#sha256:00");
	strcpy(h.user, "alice@example.net");
	strcpy(h.fleet, "0123456789ab");
	h.issued = 1700000000000000;
	h.expires = 1700043200000000;
	cr_assert(eq(int, home_save(&h, NULL), 0));

	back = (struct home){0};
	strcpy(back.path, h.path);
	cr_assert(eq(int, home_load(&back, NULL), 0));
	cr_assert_str_eq(back.relay, h.relay);
	cr_assert_str_eq(back.user, h.user);
	cr_assert_str_eq(back.fleet, h.fleet);
	cr_assert(eq(i64, back.issued, h.issued));
	cr_assert(eq(i64, back.expires, h.expires));
	cr_assert(eq(int, stat(h.path, &st), 0));
	cr_assert(eq(uint, st.st_mode & 0777, 0700));

	cr_assert(eq(int, home_forget(&had, &h, NULL), 0));
	cr_assert(had);
	cr_assert(eq(int, home_load(&back, NULL), HW_EUNAUTH));
	cr_assert(eq(int, home_forget(&had, &h, NULL), 0));
	cr_assert(not(had));
	remove_scratch(&h);
}

Test(home, a_damaged_config_is_no_login)
{
	struct hw_err err = HW_ERR_INIT;
	struct home h;
	bool had;
	int dir;

	scratch(&h);
	cr_assert(eq(int, home_open(&dir, &h, true, NULL), 0));
	cr_assert(eq(int, file_write(dir, "config", "relay x\nuser \n\xff", 15, 0600, NULL), 0));
	close(dir);
	cr_assert(eq(int, home_load(&h, &err), HW_EUNAUTH));
	cr_assert(strstr(err.text, "damaged") != NULL);
	home_forget(&had, &h, NULL);
	remove_scratch(&h);
}

Test(home, is_found_by_option_environment_and_default)
{
	struct home h;

	setenv("HAWSER_HOME", "/env", 1);
	cr_assert(eq(int, home_find(&h, "/opt", NULL), 0));
	cr_assert_str_eq(h.path, "/opt");
	cr_assert(eq(int, home_find(&h, NULL, NULL), 0));
	cr_assert_str_eq(h.path, "/env");
	unsetenv("HAWSER_HOME");
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", "/home/alice", 1);
	cr_assert(eq(int, home_find(&h, NULL, NULL), 0));
	cr_assert_str_eq(h.path, "/home/alice/.config/hawser");
}

Test(home, a_directory_of_other_things_keeps_its_modes)
{
	char other[PATH_MAX + 16];
	struct home h = {0};
	struct stat st;

	scratch(&h);
	strcpy(h.relay, "https://relay.example.net:8443#sha256:00");
	strcpy(h.user, "alice");
	cr_assert(eq(int, home_save(&h, NULL), 0));
	snprintf(other, sizeof(other), "%s/other", h.path);
	cr_assert(eq(int, mkdir(other, 0755), 0));
	cr_assert(eq(int, chmod(h.path, 0755), 0));
	cr_assert(eq(int, home_save(&h, NULL), 0));
	cr_assert(eq(int, stat(h.path, &st), 0));
	cr_assert(eq(uint, st.st_mode & 0777, 0755));
	rmdir(other);
	cr_assert(eq(int, home_save(&h, NULL), 0));
	cr_assert(eq(int, stat(h.path, &st), 0));
	cr_assert(eq(uint, st.st_mode & 0777, 0700));
	cr_assert(eq(int, home_forget(&(bool){false}, &h, NULL), 0));
	remove_scratch(&h);
}
