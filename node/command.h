/* The commands of hawser-node: one row each in main.c. */
#ifndef HAWSER_NODE_COMMAND_H
#define HAWSER_NODE_COMMAND_H

#include "proto/base/err.h"

struct command {
	const char *name;
	int (*run)(const struct command *self, int argc, char **argv); /* the exit code */
	const char *help;					       /* NULL: not for people */
};

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

int command_join(const struct command *self, int argc, char **argv);
int command_run(const struct command *self, int argc, char **argv);
int command_status(const struct command *self, int argc, char **argv);
int command_check(const struct command *self, int argc, char **argv);
int command_uplink(const struct command *self, int argc, char **argv);

/* "hawser-node: <sentence>" on stderr; EXIT_FAILED. */
int command_fail(const struct hw_err *err);
/* "hawser-node: <sentence>" and where the help is; EXIT_USAGE. */
int command_usage(const struct command *self, const char *fmt, ...) HW_PRINTF(2, 3);

#endif
