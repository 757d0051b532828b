/*
 * The hawser command. The folder, from the outside in:
 *
 *   main.c                the command line, errors, exit statuses
 *   commands.c command.c  the table of commands; how a row becomes options, help and errors
 *   cmd_*.c               one file a command: its row, and what it does
 *
 *   client.c              one run: home, loop, connection, each made when first asked for
 *   doctor_way.c doctor_node.c
 *                         what is looked at on the way there, and on a node
 *   home.c                the directory with config, certificates and key
 *   conn.c dial.c         the link to the relay, and calls on it; the way there, again and again
 *   renew.c               a new certificate in good time
 *   complete.c names.c    what could stand where a shell's cursor is; names for that
 *   lookout.c             whether the relay's ledger is still what it was
 *   ledger_view.c verify_online.c kept.c
 *                         what it proves of it when asked; what nodes and files keep of it
 *
 *   console.c             a remote program joined with our stdin, stdout and stderr
 *   shell.c               and with a person at a terminal: shell, attach, sessions watch
 *   remote.c              the session behind it: ticket, channel, streams; no terminal
 *   feed.c outlet.c       stdin, stdout and stderr without ever waiting for them
 *   terminal.c escape.c   raw mode and back; ~. and the others
 *   outage.c screen.c     what is said while a link is lost; what may be written on a screen
 *   forward.c flow.c      forwards and their connections
 *   listener.c socks.c    the local ends of both
 *   background.c          forwards that run on without us
 *
 *   run_request.c         what run sends
 *   follow.c attend.c     a command to its end; with whoever sits there
 *   view*.c               how what it writes is shown, a row for each way
 *   keep.c spool.c        output until it is shown, in a file; and whether it is equal
 *   fold.c fate.c limit.c sets of names, what became of it, how many: pure
 *   progress.c printer.c tidy.c file_name.c
 *   past.c                commands that were sent
 *
 *   player.c tape.c       replay: when what is shown; the recording, page by page
 *
 *   selector.c fleet.c    which nodes are meant; asking the relay for them
 *   session_name.c        which session is meant
 *   source.c              files that people wrote, and the place of a mistake in them
 *   allowed.c             what somebody may do, folded for people
 *   output.c table.c yaml.c display.c duration.c json_args.c tag_args.c
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "proto/base/display.h"

#define EXIT_USAGE 2

/* Descriptors 0 to 2 are open, so that nothing else is ever opened there and written to by mistake.
 */
static void
open_standard_files(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
	}
}

static int
print_help(void (*help)(struct buf *, const void *), const void *arg, FILE *to)
{
	struct buf text;

	buf_init(&text, 65536);
	help(&text, arg);
	fwrite(buf_data(&text), 1, text.len, to);
	buf_fini(&text);
	return to == stdout ? 0 : EXIT_USAGE;
}

static void
help_all(struct buf *out, const void *unused)
{
	(void)unused;
	commands_help(out);
}

static void
help_group(struct buf *out, const void *group)
{
	commands_help_group(out, group);
}

static void
help_command(struct buf *out, const void *command)
{
	command_help(out, command);
}

/* --- one command ----------------------------------------------------------------------------- */

/* It may name what the relay has named. */
static void
say_hint(const char *hint)
{
	struct buf line;

	buf_init(&line, 8192);
	display_append(&line, hint, strlen(hint));
	fprintf(stderr, "try: %s\n", buf_str(&line));
	buf_fini(&line);
}

static int
fail(struct client *c, const struct command *command, const struct hw_err *err)
{
	client_say(c, "%s", hw_err_text(err));
	if (err->code == HW_EUSAGE && c->hint[0] == '\0' && command != NULL)
		client_hint(c, "hawser %s --help", command->name);
	if (c->hint[0] != '\0')
		say_hint(c->hint);
	if (err->code == HW_EUSAGE)
		return command != NULL && command->usage != 0 ? command->usage : EXIT_USAGE;
	if (c->exit_status != 0)
		return c->exit_status;
	return command != NULL && command->failure != 0 ? command->failure : 1;
}

static int
run_command(struct client *c, const struct command *command, int argc, char **argv)
{
	struct hw_err err = HW_ERR_INIT;
	struct input *in = NULL;
	int r = input_read(&in, command, argc, argv, &err);

	if (r == 0 && input_has(in, "help")) {
		input_free(in);
		return print_help(help_command, command, stdout);
	}
	if (r == 0 && (r = client_configure(c, in, &err)) == 0)
		r = command->run(c, in, &err);
	if (r < 0) {
		if (err.code == 0)
			hw_err_set(&err, r, "%s", hw_code_meaning(r));
		r = fail(c, command, &err);
	}
	input_free(in);
	return r;
}

/* --- which one ------------------------------------------------------------------------------- */

static bool
wants_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* What may stand before the command: --home DIR, and what every command takes as well. */
static int
read_leading(struct client *c, int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && !wants_help(argv[i])) {
		if (strncmp(argv[i], "--home=", 7) == 0)
			c->home_dir = argv[i] + 7;
		else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
			c->home_dir = argv[++i];
		else if (strncmp(argv[i], "--proxy=", 8) == 0)
			c->proxy = argv[i] + 8;
		else if (strcmp(argv[i], "--proxy") == 0 && i + 1 < argc)
			c->proxy = argv[++i];
		else if (strcmp(argv[i], "--no-color") == 0)
			setenv("NO_COLOR", "1", 1);
		else if (strcmp(argv[i], "--version") == 0)
			argv[i] = (char *)"version";
		else
			break;
		if (argv[i][0] != '-' && strcmp(argv[i], "version") == 0)
			break;
		i++;
	}
	return i;
}

static int
no_such_command(struct client *c, int argc, char **argv)
{
	struct hw_err err = HW_ERR_INIT;
	const char *word = argc > 1 && command_is_group(argv[0]) ? argv[1] : argv[0];

	if (word != argv[0]) {
		client_hint(c, "hawser %s --help", argv[0]);
		hw_err_set(&err, HW_EUSAGE, "%s has no command '%s'", argv[0], word);
	} else if (word[0] == '-') {
		client_hint(c, "hawser --help");
		hw_err_set(&err, HW_EUSAGE,
			"no option '%s' before the command; those of a command follow it", word);
	} else {
		client_hint(c, "hawser --help");
		hw_err_set(&err, HW_EUSAGE, "there is no command '%s'", word);
	}
	return fail(c, NULL, &err);
}

static int
dispatch(struct client *c, int argc, char **argv)
{
	int i = read_leading(c, argc, argv), used;
	const struct command *command;

	argc -= i;
	argv += i;
	if (argc == 0)
		return print_help(help_all, NULL, stderr);
	if (wants_help(argv[0]) && argc == 1)
		return print_help(help_all, NULL, stdout);
	if (strcmp(argv[0], "help") == 0) { /* hawser help node tag */
		argc--;
		argv++;
		if ((command = command_find(&used, argc, argv)) != NULL)
			return print_help(help_command, command, stdout);
	}
	if (command_is_group(argv[0]) && (argc == 1 || wants_help(argv[1])) &&
		((command = command_find(&used, 1, argv)) == NULL || argc > 1))
		return print_help(help_group, argv[0], argc > 1 ? stdout : stderr);
	if ((command = command_find(&used, argc, argv)) == NULL)
		return no_such_command(c, argc, argv);
	return run_command(c, command, argc - used + 1, argv + used - 1);
}

int
main(int argc, char **argv)
{
	struct hw_err err = HW_ERR_INIT;
	struct client c;
	int status;

	/* Pages of messages that are given back each time are cleared each time. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 2 << 20);
	open_standard_files();
	if (client_init(&c, &err) < 0) {
		fprintf(stderr, "hawser: %s\n", hw_err_text(&err));
		return 1;
	}
	status = dispatch(&c, argc, argv);
	client_fini(&c);
	return status;
}
