#include "proto/sandbox/sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <stdio.h>

#include "proto/base/err.h"
#include "proto/sandbox/calls.h"
#include "proto/sandbox/landlock.h"

/* A folder has a link from each of its subfolders, and two of its own. */
static bool
is_alone(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) < 0 || st.st_nlink == 3;
}

static int
harden(struct hw_err *err)
{
	const struct rlimit none = {0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return hw_err_sys(err, "cannot give up new privileges");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return hw_err_sys(err, "cannot turn off core dumps");
#ifndef __SANITIZE_ADDRESS__ /* its search for leaks is a debugger's work */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return hw_err_sys(err, "cannot turn off debuggers");
#endif
	return 0;
}

int
sandbox_enter(char said[SANDBOX_SAID_MAX], const struct sandbox *s, struct hw_err *err)
{
	char files[LANDLOCK_SAID_MAX], calls[CALLS_SAID_MAX];
	int r;

	if (!is_alone())
		return hw_err_set(err, HW_EINTERNAL,
			"the sandbox is entered before threads are started, and one runs already");
	if ((r = harden(err)) < 0 || (r = landlock_restrict(files, s, err)) < 0 ||
		(r = calls_restrict(calls, s, err)) < 0)
		return r;
	snprintf(said, SANDBOX_SAID_MAX, "seccomp=%s landlock=%s", calls, files);
	return 0;
}
