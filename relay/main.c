/*
 * hawser-relay: what every node and every person dials.
 *
 *   main.c      the command line
 *   cli/        its commands: init, run, check, admin, backup, restore, reload, drain,
 *               rotate-keys; what the
 *               process may do (confine.c); the process beside it that runs anchor_command
 *               (anchor.c)
 *   edge/       the port: TLS, HTTP, WebSocket, who is let in; only this knows libwebsockets
 *   core/       a relay without sockets: operations, nodes, sessions, what is recorded when; heads
 *               of the ledger and where they go (heads.c, witnesses.c, anchors.c); backups
 *               (snapshot.c, pack.h, restore.c)
 *   policy/     who may do what
 *   services/   the operations' handlers, a folder for each family
 *   store/      what outlives the process: SQL on SQLite
 *   stream/     entries of the ledger on their way out
 *   objects/    a storage of objects, S3's
 *
 * Read core/relay.h for what the edge and the core say to each other, and core/op.h for the way of
 * an operation.
 */
#include <getopt.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/cli/cli.h"

struct command {
	const char *name;
	int (*call)(const struct cli_options *o);
	const char *takes; /* the letters of its options in `flags` */
	bool operands;	   /* and what is no option, before, between and after them */
	const char *help;
};

static int show_version(const struct cli_options *o);

static const char init_help[] =
	"usage: hawser-relay init --dir DIR [OPTIONS]\n"
	"\n"
	"Makes a fleet: its certificate authority, keys, settings, store and the user\n"
	"`admin`. Ends with one line on stdout for `hawser login`: the fleet's URL and\n"
	"the admin's invite.\n"
	"\n"
	"  --dir DIR              an empty directory, or one to be made\n"
	"  --name NAME            of this relay, in certificate and ledger (relay)\n"
	"  --listen ADDR:PORT     where to listen (every address, port 8443)\n"
	"  --advertise HOST:PORT  what nodes and users dial (where it listens, or this\n"
	"                         machine's name)\n"
	"  --master-key FILE      encrypts recordings and secrets (DIR/master.key)\n"
	"  --recovery-key FILE    where to make the key that recovers the ledger: to be kept\n"
	"                         off this machine (DIR/recovery.key)\n"
	"\n"
	"examples:\n"
	"  hawser-relay init --dir /var/lib/hawser-relay --advertise relay.example:8443\n"
	"  hawser-relay init --dir ./try --listen 127.0.0.1:8443\n";

static const char run_help[] =
	"usage: hawser-relay run --dir DIR [OPTIONS]\n"
	"\n"
	"Runs the relay in the foreground until SIGTERM or SIGINT. Started as root it\n"
	"becomes the user who owns DIR.\n"
	"\n"
	"  --dir DIR            what `init` made\n"
	"  --listen ADDR:PORT   listen there, whatever relay.conf says\n"
	"  --log-level LEVEL    error, warn, info or debug (info)\n"
	"  --log-format FORMAT  text, logfmt or json, whatever relay.conf says\n"
	"  --master-key FILE    where the master key lies, whatever relay.conf says\n"
	"  --allow-root         go on as root where DIR is root's: for trying out\n"
	"\n"
	"examples:\n"
	"  hawser-relay run --dir /var/lib/hawser-relay\n"
	"  hawser-relay run --dir ./try --log-level debug\n";

static const char check_help[] =
	"usage: hawser-relay check --dir DIR [--master-key FILE]\n"
	"\n"
	"Looks at port, clock, disk, descriptors, the time of an fsync, private files and\n"
	"certificates: a line for each. Exits with 1 when one of them fails.\n"
	"\n"
	"examples:\n"
	"  hawser-relay check --dir /var/lib/hawser-relay\n"
	"  hawser-relay check --dir ./try | grep -v ^ok\n";

static const char admin_help[] =
	"usage: hawser-relay admin --dir DIR SUBCOMMAND [OPTIONS]\n"
	"\n"
	"Break glass: works on the relay's own machine, as root or as the user who runs the\n"
	"relay, whatever policies, certificates and users say. The relay must be running.\n"
	"All of it is in the ledger.\n"
	"\n"
	"  users, nodes, sessions, groups, policies, activations, keys USER\n"
	"                         list them\n"
	"  invite [NAME]          an administrator's invite, for admin when no other is\n"
	"                         named: makes the user, or enables it; ends with one line\n"
	"                         for `hawser login`\n"
	"  disable USER           ends its links and sessions, keeps it out; enable USER\n"
	"  rm-user USER           removes it\n"
	"  kill SESSION           ends a session\n"
	"  rm-node NODE           removes a node, by its id\n"
	"  rm-key KEY             removes an access key, of --user USER or whose it is\n"
	"  rm-activation ID       removes an activation; nodes that used it stay\n"
	"  detach POLICY          from --user USER or --group GROUP\n"
	"  leave GROUP            takes --user USER out of the group\n"
	"\n"
	"  --dir DIR              what `init` made\n"
	"  -o, --output FORMAT    table, or json: the relay's replies, a line for each\n"
	"\n"
	"examples:\n"
	"  hawser-relay admin --dir /var/lib/hawser-relay invite\n"
	"  hawser-relay admin --dir /var/lib/hawser-relay disable mallory\n";

static const char backup_help[] =
	"usage: hawser-relay backup --dir DIR [OPTIONS] FILE|-\n"
	"\n"
	"Writes all that a relay is, as of one moment, into one sealed file: settings, keys,\n"
	"store, ledger, recordings and the output of commands. The relay may run; nothing of\n"
	"it waits. The file is there when it is whole, or not at all.\n"
	"\n"
	"  --dir DIR               what `init` made\n"
	"  --to FILE               public keys that can open it, as `hawser audit keygen` prints\n"
	"                          them (DIR/backup.pub)\n"
	"  --passphrase-file FILE  whoever knows its first line can open it, too\n"
	"  --without-recordings    leaves out those that are complete: they are sealed, and never\n"
	"                          change, so that any program may copy them\n"
	"  --master-key FILE       where the master key lies, whatever relay.conf says\n"
	"\n"
	"examples:\n"
	"  hawser-relay backup --dir /var/lib/hawser-relay --to ops.pub /backup/relay.hwb\n"
	"  hawser-relay backup --dir ./try --passphrase-file p - | ssh store 'cat > relay.hwb'\n";

static const char restore_help[] =
	"usage: hawser-relay restore --dir DIR [--key FILE] [--passphrase-file FILE] FILE|-\n"
	"       hawser-relay restore --verify [--key FILE] [--passphrase-file FILE] FILE|-\n"
	"\n"
	"Puts a backup back, into an empty directory, once all of it is read and found good.\n"
	"Its last lines say what is to be done then: nodes know that the ledger was longer.\n"
	"\n"
	"  --dir DIR               an empty directory, or one to be made\n"
	"  --verify                only reads it, and says whether it can be restored\n"
	"  --key FILE              the private key that it is sealed to\n"
	"  --passphrase-file FILE  the passphrase of that key; without --key, the backup's own\n"
	"\n"
	"examples:\n"
	"  hawser-relay restore --verify --key auditor.key /backup/relay.hwb\n"
	"  hawser-relay restore --dir /var/lib/hawser-relay --key auditor.key /backup/relay.hwb\n";

static const char reload_help[] =
	"usage: hawser-relay reload --dir DIR\n"
	"\n"
	"Has the relay that runs take its settings and its certificate from the disk anew; no\n"
	"link and no session notices. Settings that take a restart are named. When anything is\n"
	"wrong the relay goes on as it is, and this exits with 1.\n"
	"\n"
	"examples:\n"
	"  hawser-relay reload --dir /var/lib/hawser-relay\n"
	"  systemctl reload hawser-relay\n";

static const char drain_help[] =
	"usage: hawser-relay drain --dir DIR [--for TIME] [--undo]\n"
	"\n"
	"Has the relay begin no sessions and no commands; those that run go on. /healthz is 503,\n"
	"\"draining\". Says what is left; said again, says it again. A restart ends it.\n"
	"\n"
	"  --for TIME  it ends by itself after 90s, 30m, 2h or 1d, a week at the most\n"
	"  --undo      ends it\n"
	"\n"
	"examples:\n"
	"  hawser-relay drain --dir /var/lib/hawser-relay --for 30m\n"
	"  hawser-relay drain --dir /var/lib/hawser-relay --undo\n";

static const char rotate_keys_help[] =
	"usage: hawser-relay rotate-keys --dir DIR --what tls|master|ledger|ca [OPTIONS]\n"
	"\n"
	"Gives the relay another one of its keys, and takes the old one away. Killed at any\n"
	"moment it goes on when it is called again, or nothing has happened.\n"
	"\n"
	"  --what tls     relay.key, with a new certificate. A relay that runs takes it at once:\n"
	"                 links and sessions do not notice, who connects from then on sees it;\n"
	"                 one that is stopped takes it when it starts\n"
	"  --what master  the key that recordings and secrets are encrypted with: all that the old\n"
	"                 one opens is wrapped anew. The relay must be stopped\n"
	"  --what ledger  the key that signs the ledger's heads: the old one signs over to the new\n"
	"                 one. The relay must be stopped\n"
	"  --what ca      the authority that issues certificates: the old one vouches for the new\n"
	"                 one, by which nodes and users renew theirs, each with its next\n"
	"                 connection. Both count until `--what ca --retire`. The relay must be\n"
	"                 stopped for either\n"
	"\n"
	"  --dir DIR            what `init` made\n"
	"  --retire             with ca: certificates by the old one are refused from now on;\n"
	"                       says which nodes have one still, and then does nothing\n"
	"  --force              with --retire: all the same; these nodes have to join again\n"
	"  --master-key FILE    with master: where that key lies, whatever relay.conf says\n"
	"  --recovery-key FILE  with ledger: makes a recovery key there, where there is none\n"
	"\n"
	"examples:\n"
	"  hawser-relay rotate-keys --dir /var/lib/hawser-relay --what tls\n"
	"  hawser-relay rotate-keys --dir /var/lib/hawser-relay --what ca --retire\n"
	"  hawser-relay rotate-keys --dir ./try --what ledger --recovery-key /mnt/stick/recovery.key\n";

static const char rotate_key_help[] =
	"usage: hawser-relay rotate-key --dir DIR [--master-key FILE]\n"
	"\n"
	"The same as rotate-keys --what master.\n"
	"\n"
	"Makes another master key and wraps with it all that the old one opens; then the\n"
	"old one is overwritten. The relay must be stopped: sessions outlive that. Killed at\n"
	"any moment it goes on when it is called again; until then the relay doesn't start.\n"
	"\n"
	"  --dir DIR            what `init` made\n"
	"  --master-key FILE    where the master key lies, whatever relay.conf says; the new\n"
	"                       one takes its place\n"
	"\n"
	"examples:\n"
	"  systemctl stop hawser-relay\n"
	"  hawser-relay rotate-key --dir /var/lib/hawser-relay\n";
static const char rotate_help[] =
	"usage: hawser-relay rotate-ledger-key --dir DIR [--recovery-key FILE]\n"
	"\n"
	"The same as rotate-keys --what ledger.\n"
	"\n"
	"Has the key that signs the ledger's heads sign over to a new one, and removes it.\n"
	"The relay must be stopped; sessions go on meanwhile.\n"
	"\n"
	"  --dir DIR            what `init` made\n"
	"  --recovery-key FILE  makes a recovery key there, where the ledger has none\n"
	"\n"
	"examples:\n"
	"  hawser-relay rotate-ledger-key --dir /var/lib/hawser-relay\n"
	"  hawser-relay rotate-ledger-key --dir ./try --recovery-key /mnt/stick/recovery.key\n";

static const char recover_help[] =
	"usage: hawser-relay recover --dir DIR --recovery-key FILE [--master-key FILE]\n"
	"\n"
	"After a relay was restored from a copy, or its ledger.key was lost: makes the tree\n"
	"of the ledger anew from its entries, and begins an epoch with a new key, by a\n"
	"statement of the recovery key. Nodes and clients that saw more of the ledger than\n"
	"there is now accept that statement, and no other. The relay must be stopped.\n"
	"\n"
	"  --dir DIR            what `init` made\n"
	"  --recovery-key FILE  the key that `init` made; take it away again afterwards\n"
	"  --master-key FILE    where the master key lies, whatever relay.conf says\n"
	"\n"
	"examples:\n"
	"  hawser-relay recover --dir /var/lib/hawser-relay --recovery-key /mnt/stick/recovery.key\n"
	"  hawser-relay recover --dir ./try --recovery-key ./recovery.key\n";

static const char erase_help[] =
	"usage: hawser-relay erase --dir DIR --entry NUMBER --reason TEXT\n"
	"\n"
	"Overwrites the bytes of one entry of the ledger. Its hash stays, so that everything\n"
	"can be proven as before; that it was erased, by whom and why, is an entry. The relay\n"
	"must be stopped.\n"
	"\n"
	"  --dir DIR          what `init` made\n"
	"  --entry NUMBER     its sequence number\n"
	"  --reason TEXT      goes into the ledger\n"
	"  --master-key FILE  where the master key lies, whatever relay.conf says\n"
	"\n"
	"examples:\n"
	"  hawser-relay erase --dir /var/lib/hawser-relay --entry 4711 --reason 'request 12'\n"
	"  hawser-relay erase --dir ./try --entry 3 --reason test\n";

static const char version_help[] = "usage: hawser-relay version\n";

static const struct command commands[] = {
	{"init",		 cli_init,	   "dnlamk", false, init_help	     },
	{"run",		cli_run,	 "dlmvrF", false, run_help	  },
	{"check",		  cli_check,	     "dm",	   false, check_help	    },
	{"admin",		  cli_admin,	     "doug",   true,  admin_help	     },
	{"backup",		   cli_backup,      "dmtpR",	true,  backup_help	 },
	{"restore",	    cli_restore,	 "DKpV",	 true,  restore_help	   },
	{"reload",		   cli_reload,      "d",	    false, reload_help     },
	{"drain",		  cli_drain,	     "dTU",    false, drain_help	     },
	{"rotate-keys",	cli_rotate_keys, "dWmkxf", false, rotate_keys_help},
	{"rotate-key",	       cli_rotate_key,  "dm",     false, rotate_key_help },
	{"rotate-ledger-key", cli_rotate,	  "dk",	false, rotate_help	  },
	{"recover",	    cli_recover,	 "dkm",	false, recover_help	   },
	{"erase",		  cli_erase,	     "dewm",   false, erase_help      },
	{"version",	    show_version,	  "",	      false, version_help	 },
};

static const char usage[] =
	"usage: hawser-relay COMMAND --dir DIR [OPTIONS]\n"
	"\n"
	"  init      make a fleet in a directory\n"
	"  run       run the relay\n"
	"  check     look at what it needs of this machine\n"
	"  admin     list, revoke and invite when nobody gets in any more\n"
	"  backup    all that a relay is, in one sealed file\n"
	"  restore   a relay from its backup\n"
	"  reload    take settings and certificate anew\n"
	"  drain     begin nothing new\n"
	"  rotate-keys  another key: of TLS, the master key, the ledger's, or the authority's\n"
	"  recover   begin anew after the relay was restored from a copy\n"
	"  erase     erase an entry of the ledger\n"
	"  version   print the version\n"
	"\n"
	"`hawser-relay COMMAND --help` says more.\n"
	"\n"
	"examples:\n"
	"  hawser-relay init --dir /var/lib/hawser-relay --advertise relay.example:8443\n"
	"  hawser-relay run --dir /var/lib/hawser-relay\n";

static const struct option flags[] = {
	{"dir",		required_argument, NULL, 'd'},
	{"name",		 required_argument, NULL, 'n'},
	{"listen",		   required_argument, NULL, 'l'},
	{"advertise",	      required_argument, NULL, 'a'},
	{"master-key",	       required_argument, NULL, 'm'},
	{"log-level",	      required_argument, NULL, 'v'},
	{"output",		   required_argument, NULL, 'o'},
	{"user",		 required_argument, NULL, 'u'},
	{"group",		  required_argument, NULL, 'g'},
	{"recovery-key",	 required_argument, NULL, 'k'},
	{"entry",		  required_argument, NULL, 'e'},
	{"reason",		   required_argument, NULL, 'w'},
	{"to",		 required_argument, NULL, 't'},
	{"key",		required_argument, NULL, 'K'},
	{"passphrase-file",    required_argument, NULL, 'p'},
	{"without-recordings", no_argument,	    NULL, 'R'},
	{"verify",		   no_argument,	NULL, 'V'},
	{"for",		required_argument, NULL, 'T'},
	{"what",		 required_argument, NULL, 'W'},
	{"undo",		 no_argument,	      NULL, 'U'},
	{"retire",		   no_argument,	NULL, 'x'},
	{"force",		  no_argument,       NULL, 'f'},
	{"log-format",	       required_argument, NULL, 'F'},
	{"allow-root",	       no_argument,	    NULL, 'r'},
	{"help",		 no_argument,	      NULL, 'h'},
	{NULL,		 0,		  NULL, 0	 },
};

static int
show_version(const struct cli_options *o)
{
	(void)o;
	puts("hawser-relay " HAWSER_VERSION);
	return EXIT_OK;
}

/* What is told of may be a file of somebody else's making, as a backup's relay.conf is. */
int
cli_fail(const struct hw_err *err)
{
	char shown[sizeof(err->text)];

	snprintf(shown, sizeof(shown), "%s", hw_err_text(err));
	for (char *p = shown; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "hawser-relay: %s\n", shown);
	return EXIT_FAILED;
}

int
cli_address(char *host, size_t room, int *port, const char *text, struct hw_err *err)
{
	const char *colon = strrchr(text, ':'), *from = text;
	char *end = NULL;
	long p = colon != NULL ? strtol(colon + 1, &end, 10) : 0;

	if (colon == NULL || end == colon + 1 || *end != '\0' || p < 1 || p > 65535)
		return hw_err_set(err, HW_EUSAGE, "\"%s\" is not ADDRESS:PORT", text);
	size_t n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		from++;
		n -= 2;
	}
	if (n >= room)
		return hw_err_set(err, HW_EUSAGE, "\"%.40s...\" is too long for an address", text);
	memcpy(host, from, n);
	host[n] = '\0';
	*port = (int)p;
	return 0;
}

/* --- options ------------------------------------------------------------------------------- */

static int
bad_usage(const struct command *cmd, const char *what, const char *which)
{
	fprintf(stderr, "hawser-relay: %s%s; see hawser-relay %s%s--help\n", what, which,
		cmd != NULL ? cmd->name : "", cmd != NULL ? " " : "");
	return EXIT_USAGE;
}

static bool
set_log_level(struct cli_options *o, const char *text)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i], text) == 0) {
			o->log_level = (enum log_level)i;
			return true;
		}
	return false;
}

static const struct text_option {
	int letter;
	size_t offset;
} text_options[] = {
	{'d', offsetof(struct cli_options, dir)	       },
	{'n', offsetof(struct cli_options, name)		},
	{'l', offsetof(struct cli_options, listen)	  },
	{'a', offsetof(struct cli_options, advertise)	     },
	{'m', offsetof(struct cli_options, master_key)     },
	{'o', offsetof(struct cli_options, output)	  },
	{'u', offsetof(struct cli_options, user)		},
	{'g', offsetof(struct cli_options, group)		 },
	{'k', offsetof(struct cli_options, recovery_key)	},
	{'e', offsetof(struct cli_options, entry)		 },
	{'w', offsetof(struct cli_options, reason)	  },
	{'F', offsetof(struct cli_options, log_format)     },
	{'T', offsetof(struct cli_options, time)		},
	{'W', offsetof(struct cli_options, what)		},
	{'t', offsetof(struct cli_options, to)	      },
	{'K', offsetof(struct cli_options, key)	       },
	{'p', offsetof(struct cli_options, passphrase_file)},
};

static const struct text_option switches[] = {
	{'r', offsetof(struct cli_options, allow_root)	      },
	{'R', offsetof(struct cli_options, without_recordings)},
	{'V', offsetof(struct cli_options, verify)		  },
	{'U', offsetof(struct cli_options, undo)		},
	{'x', offsetof(struct cli_options, retire)		  },
	{'f', offsetof(struct cli_options, force)		 },
};

static bool
set_option(struct cli_options *o, int letter, const char *arg)
{
	for (size_t i = 0; i < sizeof(text_options) / sizeof(text_options[0]); i++)
		if (text_options[i].letter == letter) {
			const char **at = (void *)((char *)o + text_options[i].offset);
			*at = arg;
			return true;
		}
	if (letter == 'v')
		return set_log_level(o, arg);
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		if (switches[i].letter == letter)
			*(bool *)((char *)o + switches[i].offset) = true;
	return true;
}

static const char *
option_name(int letter)
{
	for (const struct option *f = flags; f->name != NULL; f++)
		if (f->val == letter)
			return f->name;
	return "";
}

/* D in `takes` is --dir that may be left out. */
static bool
takes_option(const struct command *cmd, int letter)
{
	return strchr(cmd->takes, letter) != NULL ||
		(letter == 'd' && strchr(cmd->takes, 'D') != NULL);
}

static int
run_command(const struct command *cmd, int argc, char **argv)
{
	struct cli_options o = {.log_level = LOG_LEVEL_INFO};
	const char *shorts = cmd->operands ? "o:" : "+o:"; /* +: the first operand is the end */
	int letter;

	opterr = 0;
	while ((letter = getopt_long(argc, argv, shorts, flags, NULL)) != -1) {
		if (letter == 'h') {
			fputs(cmd->help, stdout);
			return EXIT_OK;
		}
		if (letter == '?')
			return bad_usage(cmd,
				"not an option, or without its value: ", argv[optind - 1]);
		if (!takes_option(cmd, letter))
			return bad_usage(cmd, "no option of this command: --", option_name(letter));
		if (!set_option(&o, letter, optarg))
			return bad_usage(cmd, "not a log level: ", optarg);
	}
	o.operands = (const char *const *)argv + optind;
	o.n_operands = (size_t)(argc - optind);
	if (o.n_operands > 0 && !cmd->operands)
		return bad_usage(cmd, "not expected: ", argv[optind]);
	if (o.dir == NULL && strchr(cmd->takes, 'd') != NULL)
		return bad_usage(cmd, "--dir is missing", "");
	return cmd->call(&o);
}

/* What operations and messages take is as large as a message, and goes as soon as it came: pages
 * that are given back each time are cleared each time. */
static void
keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 2 << 20);
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	keep_memory();

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		fputs(usage, stdout);
		return EXIT_OK;
	}
	if (strcmp(name, "--version") == 0)
		return show_version(NULL);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return run_command(&commands[i], argc - 1, argv + 1);
	if (*name == '\0') {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return bad_usage(NULL, "no such command: ", name);
}
