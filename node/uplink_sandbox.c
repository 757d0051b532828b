#include "node/uplink_sandbox.h"

#include "proto/sandbox/names.h"

#define OWN 4

int
uplink_sandbox_enter(char said[SANDBOX_SAID_MAX], const char *dir, struct hw_err *err)
{
	struct sandbox_path paths[OWN + NAMES_PATHS_MAX] = {
		{dir,		       SANDBOX_WRITE},
 /* libwebsockets wants it open */
		{"/dev/urandom",		 SANDBOX_READ },
 /* what /etc/os-release leads to, and is without it */
		{"/usr/lib/os-release",	SANDBOX_READ },
		{"/sys/devices/system/cpu", SANDBOX_READ },
	};
	struct sandbox s = {.paths = paths, .n_paths = OWN, .dials = true};

	s.n_paths += names_paths(paths + OWN);
	names_load();
	return sandbox_enter(said, &s, err);
}
