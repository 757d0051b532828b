#include "proto/sandbox/names.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Stays loaded for good, so that the C library finds it when it wants it. */
static void
load_service(const char *name)
{
	char library[80];

	snprintf(library, sizeof(library), "libnss_%.60s.so.2", name);
	if (dlopen(library, RTLD_LAZY | RTLD_NODELETE) == NULL)
		(void)dlerror(); /* those of the C library itself are none; others are left out */
}

/* "hosts: files resolve [!UNAVAIL=return] dns" */
static void
load_services(char *line)
{
	char *rest = NULL;

	line[strcspn(line, "#\n")] = '\0';
	for (char *w = strtok_r(line, " \t", &rest); w != NULL; w = strtok_r(NULL, " \t", &rest))
		if (isalnum((unsigned char)w[0]) && strchr(w, '/') == NULL &&
			strpbrk(w, "[]!=:") == NULL)
			load_service(w);
}

void
names_load(void)
{
	char line[512];
	FILE *f = fopen("/etc/nsswitch.conf", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "hosts:", 6) == 0)
			load_services(line + 6);
	if (f != NULL)
		fclose(f);
}

/* clang-format off */
/* Who dials must see a file that was replaced, as resolv.conf is when the network changes, and only a
 * rule for its folder does. To another user than root the folders show nothing that is secret. */
static const struct sandbox_path as_user[] = {
	{"/etc", SANDBOX_READ},
	{"/run", SANDBOX_READ},
	{"/usr/lib", SANDBOX_READ},
};

/* As root nothing else stands before what is: the files alone, as they are now. */
static const struct sandbox_path as_root[] = {
	{"/etc/resolv.conf", SANDBOX_READ},
	{"/etc/hosts", SANDBOX_READ},
	{"/etc/nsswitch.conf", SANDBOX_READ},
	{"/etc/host.conf", SANDBOX_READ},
	{"/etc/gai.conf", SANDBOX_READ},
	{"/etc/services", SANDBOX_READ},
	{"/etc/os-release", SANDBOX_READ},
	{"/run/systemd/resolve", SANDBOX_READ},
	{"/run/NetworkManager/resolv.conf", SANDBOX_READ},
	{"/run/resolvconf", SANDBOX_READ},
};

/* clang-format on */

#define ROWS(table) (sizeof(table) / sizeof(table[0]))

size_t
names_paths(struct sandbox_path paths[NAMES_PATHS_MAX])
{
	const struct sandbox_path *more = geteuid() == 0 ? as_root : as_user;
	size_t n = geteuid() == 0 ? ROWS(as_root) : ROWS(as_user);

	_Static_assert(ROWS(as_root) <= NAMES_PATHS_MAX && ROWS(as_user) <= NAMES_PATHS_MAX,
		"there is room for either");
	memcpy(paths, more, n * sizeof(*more));
	return n;
}
