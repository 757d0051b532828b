/* What the files of hawser-relay's command line share: options, and a function for each command. */
#ifndef HAWSER_RELAY_CLI_H
#define HAWSER_RELAY_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"
#include "proto/base/log.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cli_options {
	const char *dir, *name, *listen, *advertise, *master_key;
	const char *output, *user, *group;
	const char *recovery_key, *entry, *reason;
	const char *to, *key, *passphrase_file;
	const char *log_format, *time, *what;
	const char *const *operands; /* what is no option, in its order */
	size_t n_operands;
	enum log_level log_level;
	bool allow_root, without_recordings, verify, undo, retire, force;
};

/* Each returns the program's exit status, and has said why on stderr when it is not 0. */
int cli_init(const struct cli_options *o);
int cli_run(const struct cli_options *o);
int cli_check(const struct cli_options *o);
int cli_admin(const struct cli_options *o);
int cli_backup(const struct cli_options *o);
int cli_reload(const struct cli_options *o);
int cli_drain(const struct cli_options *o);
int cli_restore(const struct cli_options *o);
int cli_rotate_keys(const struct cli_options *o);
int cli_rotate_key(const struct cli_options *o);
int cli_rotate(const struct cli_options *o);
int cli_recover(const struct cli_options *o);
int cli_erase(const struct cli_options *o);

/* Says it on stderr; returns EXIT_FAILED. */
int cli_fail(const struct hw_err *err);

/* ADDRESS:PORT, [IPV6]:PORT or :PORT; port 0 is none. HW_EUSAGE. */
int cli_address(char *host, size_t room, int *port, const char *text, struct hw_err *err);

/* --- process.c: what the process may do ---------------------------------------------------- */

/* No new privileges, no core dumps, nobody's debugger; all descriptors that there may be. */
void process_harden(void);

/* As root: becomes the user who owns DIR, when that is not root either. *still_root says that it
 * is. */
int process_become_owner(const char *dir, bool *still_root, struct hw_err *err);

/* Who asked, by name: before it becomes anybody else. */
void process_user(char out[65]);

/* A connection to the service manager, -1 where there is none; and telling it: "READY=1". */
int process_notify_open(void);
void process_notify(int fd, const char *state);

#endif
