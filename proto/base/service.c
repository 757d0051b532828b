#include "proto/base/service.h"

#include <sys/stat.h>

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static bool
is_there(const char *root, const char *folder, const char *name, const char *ending)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s%s%s", root, folder, name, ending);

	return n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0;
}

static bool
is_units_folder(const char *root, const char *name, const char *dir)
{
	char path[PATH_MAX];
	struct stat ours, its;
	int n = snprintf(path, sizeof(path), "%s/var/lib/%s", root, name);

	return n > 0 && (size_t)n < sizeof(path) && stat(path, &its) == 0 &&
		stat(dir, &ours) == 0 && its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
}

bool
service_runs(const char *root, const char *name, const char *dir)
{
	static const char *const folders[] = {"/etc/systemd/system/", "/usr/lib/systemd/system/",
		"/lib/systemd/system/", "/usr/local/lib/systemd/system/"};

	if (!is_there(root, "/run/systemd/system", "", "") || !is_units_folder(root, name, dir))
		return false;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (is_there(root, folders[i], name, ".service"))
			return true;
	return false;
}
