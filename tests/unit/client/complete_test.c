/* What could stand where the cursor is, for every kind of place. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "client/commands.h"
#include "client/complete.h"

/* The line is split at blanks; one at its end begins an empty word. */
static void
complete(struct buf *out, struct completion *found, const char *line, const char *names)
{
	static char copy[512];
	char *words[32], *rest = copy, *word;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&rest, " ")) != NULL)
		words[n++] = word;
	complete_find(found, n, words);
	buf_init(out, 1 << 20);
	complete_print(out, found, names);
}

/* `said` has its words without what they are. */
static void
expect(const char *line, const char *names, const char *said)
{
	struct completion found;
	char all[2048] = "";
	struct buf out;

	complete(&out, &found, line, names);
	for (const char *at = buf_str(&out); *at != '\0'; at += strcspn(at, "\n") + 1)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%.*s",
			all[0] != '\0' ? " " : "", (int)strcspn(at, "\t\n"), at);
	cr_expect_str_eq(all, said, "`%s`: %s", line, all);
	buf_fini(&out);
}

Test(complete, commands)
{
	expect("she", "", "words shell");
	expect("log", "", "words login logout");
	expect("sel", "", "words selector");
	expect("activation ", "", "words create ls rm");
	expect("audit h", "", "words hold holds");
	expect("--no-color --home /tmp she", "", "words shell");
	expect("none-such ", "", "words");
	expect("none such ", "", "words");
	expect("sessions ls x", "", "words");
}

Test(complete, options_and_their_values)
{
	expect("run --targ", "", "words --target");
	expect("user ls --", "", "words --output --home --timeout --proxy --no-color --help");
	expect("ls -o ", "", "words table wide json jsonl yaml name");
	expect("ls -oj", "", "words -ojson -ojsonl");
	expect("ls --output=y", "", "words --output=yaml");
	expect("audit export x --format r", "", "words raw");
	expect("run --script ", "", "files");
	expect("ls --home ", "", "folders");
	expect("run --script=", "", "files");
	expect("shell --reason ", "", "words");
	expect("shell --none-such ", "web-01\n", "words web-01");
}

Test(complete, names)
{
	const char *nodes = "db-1\nweb-01\nweb-02\n";

	expect("shell w", nodes, "words web-01 web-02");
	expect("shell root@w", nodes, "words root@web-01 root@web-02");
	expect("node rm web-01 ", nodes, "words db-1 web-01 web-02");
	expect("run --target db-1,we", nodes, "words db-1,web-01 db-1,web-02");
	expect("run -t w", nodes, "words web-01 web-02");
	expect("run --target=w", nodes, "words --target=web-01 --target=web-02");
	expect("ls @w", "web\ndb\n", "words @web");
	expect("audit ls --node w", nodes, "words web-01 web-02");
	expect("document get AWS-R", "AWS-RunShellScript\nmine\n", "words AWS-RunShellScript");
	expect("shell web-01 --document A", "AWS-X\nmine\n", "words AWS-X");
	expect("document put mine ", "mine\n", "files");
	expect("group add ", "ops\n", "words ops");
	expect("group add ops a", "ann\nbob\n", "words ann");
	expect("runs output 1", "12ab\n", "words 12ab");
	expect("runs output 12ab w", nodes, "words web-01 web-02");
}

Test(complete, each_place_asks_for_the_kind_it_means)
{
	static const struct {
		const char *line;
		enum names_kind names;
	} rows[] = {
		{"shell ",		   NAMES_NODES	      },
		{"run -t ",		    NAMES_NODES	       },
		{"run -t @",	     NAMES_SELECTORS    },
		{"sessions kill ",	   NAMES_LIVE_SESSIONS},
		{"attach ",		    NAMES_LIVE_SESSIONS},
		{"replay ",		    NAMES_SESSIONS	  },
		{"audit show ",		NAMES_SESSIONS     },
		{"audit export ",	  NAMES_SESSIONS	},
		{"runs show ",	       NAMES_COMMANDS     },
		{"user rm ",	     NAMES_USERS	},
		{"group show ",		NAMES_GROUPS	    },
		{"policy show ",	 NAMES_POLICIES     },
		{"user add x --policy ", NAMES_POLICIES     },
		{"selector rm ",	 NAMES_SELECTORS	},
		{"document rm ",	 NAMES_DOCUMENTS	},
		{"key rm ",		    NAMES_KEYS	      },
		{"activation rm ",	   NAMES_ACTIVATIONS  },
		{"audit lift ",		NAMES_HOLDS	   },
	};
	struct completion found;
	struct buf out;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		complete(&out, &found, rows[i].line, "");
		buf_fini(&out);
		cr_expect(eq(int, found.what, COMPLETE_NAMES), "%s", rows[i].line);
		cr_expect(eq(int, found.names, rows[i].names), "%s", rows[i].line);
	}
}

Test(complete, what_is_run_there_is_not_ours_to_complete)
{
	expect("exec web-01 -- w", "web-01\n", "words");
	expect("exec web-01 uname --h", "", "words");
	expect("shell web-01 -- ", "web-01\n", "words");
	expect("shell web-01 x", "web-01\n", "words");
}

/* Names come from the relay, and what a shell makes of a line is the shell's affair. */
Test(complete, a_name_that_a_shell_could_mistake_is_left_out)
{
	expect("shell ", "a b\nok\n\x1b[2J\nb\tc\n\xc3\xa9\n\n", "words ok");
	expect("shell ", "$(reboot)\n`id`\na;id\na|id\na&id\na>b\n", "words");
	expect("shell ", "~\n*\n{a,b}\n!1\n'a\n\"a\n\\a\n#\n^a\n(a\n$HOME\na?\n[a]\n", "words");
	expect("shell ", "--policy=x\n-t\nA_b.c@d+e=f:g/h,i-1\n", "words A_b.c@d+e=f:g/h,i-1");
}

Test(complete, many_are_cut)
{
	struct completion found;
	struct buf names, out;
	size_t lines = 0;

	buf_init(&names, 1 << 20);
	for (int i = 0; i < 10000; i++)
		buf_printf(&names, "web-%05d\n", i);
	complete(&out, &found, "shell ", buf_str(&names));
	for (const char *at = buf_str(&out); (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	cr_expect(eq(sz, lines, COMPLETE_MAX + 1));
	buf_fini(&out);
	buf_fini(&names);
}

/* Every word of every usage: whatever it is, asking for it ends. */
Test(complete, every_place_of_every_command)
{
	struct completion found;
	struct buf out;
	char line[128];

	for (size_t i = 0; command_table[i] != NULL; i++) {
		static const char *const ends[] = {" ", " x ", " x x ", " -", " -x", " --",
			" --=", " -o", " --home", " --home=", " -- ", " @", " ,", " x@"};
		for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
			snprintf(line, sizeof(line), "%s%s", command_table[i]->name, ends[k]);
			complete(&out, &found, line, "x\ny\n");
			cr_expect(buf_str(&out)[0] != '\0', "%s", line);
			buf_fini(&out);
		}
	}
	complete_find(&found, 0, NULL);
	cr_expect(eq(int, found.what, COMPLETE_COMMANDS));
}
