/*
 * What a command is, and how its words are read. A command is one row; its options, operands, help
 * and the errors of its usage follow from the row. Pure: nothing here prints or connects.
 */
#ifndef HAWSER_CLIENT_COMMAND_H
#define HAWSER_CLIENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"

struct client;
struct input;

struct option_row {
	const char *name; /* long name */
	char letter;	  /* short name, or 0 */
	const char *arg;  /* what its value is called; NULL for a flag */
	const char *doc;  /* NULL: help has no line for it */
};

struct command {
	const char *name;     /* "ls", or of a group "node show" */
	const char *operands; /* as usage shows them: "[SELECTOR...]" */
	const char *summary;  /* half a line */
	const char *about;    /* lines of help, indented by two; NULL for none */
	const char *examples[2];
	const struct option_row *options; /* up to a row without name; NULL for none */
	int min, max;			  /* operands; max < 0 is any number */
	bool words;  /* what follows the max'th operand, or --, is passed on as it is */
	bool shows;  /* has -o */
	bool wary;   /* has the ledger proven, whenever it was last */
	bool alone;  /* the name of its group alone means it */
	int failure; /* exit status when it fails by itself; 0 stands for 1 */
	int usage;   /* and of a wrong command line; 0 stands for 2 */
	/* The exit status, or an error. */
	int (*run)(struct client *c, const struct input *in, struct hw_err *err);
};

/* The command line of one command. Texts are those of argv. */
struct input {
	const struct command *command;
	const char **operands;
	size_t n;
	const char **words;
	size_t n_words;
	struct {
		const struct option_row *row;
		const char *value;
	} * given;
	size_t n_given;
};

#define USAGE_WIDTH 79
#define USAGE_LINES 24

/* Options that every command has, and the one of those that show something. */
extern const struct option_row option_rows_common[];
extern const struct option_row option_row_output;

/* Reads the words after the command's name: HW_EUSAGE says what is wrong with them. */
int input_read(struct input **ret, const struct command *command, int argc, char **argv,
	struct hw_err *err);
void input_free(struct input *in);

/* An option by its long name, which is one of the command's: its last value, NULL when not given.
 */
const char *input_text(const struct input *in, const char *option);
bool input_has(const struct input *in, const char *option);
/* The i'th value of an option that may be repeated; NULL after the last. */
const char *input_nth(const struct input *in, const char *option, size_t i);
/* All of its values, `max` at most (HW_EUSAGE); the array lives in the arena. */
int input_all(const char ***values, size_t *n, struct arena *a, const struct input *in,
	const char *option, size_t max, struct hw_err *err);
/* Leaves *ret alone when the option was not given. HW_EUSAGE. */
int input_int(int64_t *ret, const struct input *in, const char *option, int64_t min, int64_t max,
	struct hw_err *err);
int input_duration(int64_t *usec, const struct input *in, const char *option, struct hw_err *err);
/* The words with single blanks between them, as ssh joins them; NULL without words or memory. */
char *input_join(const struct input *in);

void command_help(struct buf *out, const struct command *command);

#endif
