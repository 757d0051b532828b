/* What stands after -L, -D and --stdio. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "client/forward_spec.h"

static const struct {
	const char *text, *near, *far;
} good[] = {
	{"80:db:5432",		       "127.0.0.1:80",    "db:5432"		},
	{"0:DB.Internal.:5432",	"127.0.0.1:0",     "db.internal:5432"	 },
	{"localhost:80:db:5432",	 "127.0.0.1:80",	 "db:5432"		  },
	{"0.0.0.0:80:db:5432",	       "0.0.0.0:80",	     "db:5432"	      },
	{"*:80:db:5432",		 "[::]:80",	    "db:5432"	     },
	{"[::1]:80:[2001:db8::1]:443", "[::1]:80",	   "[2001:db8::1]:443" },
	{"80:[::ffff:10.0.0.9]:443",   "127.0.0.1:80",    "10.0.0.9:443"	   },
	{"80:unix:/run/a:b.sock",	  "127.0.0.1:80",	  "unix:/run/a:b.sock"},
	{"80:/run/x.sock",		   "127.0.0.1:80",	   "unix:/run/x.sock"  },
	{"/tmp/x.sock:db:5432",	"/tmp/x.sock",     "db:5432"		},
	{"./x.sock:unix:/run/y",	 "./x.sock",	     "unix:/run/y"	  },
	{"/tmp/x:/run/y",		  "/tmp/x",	    "unix:/run/y"	 },
	{"80:[unix]:8403",		   "127.0.0.1:80",	   "unix:8403"	      },
	{"80:unix:8403",		 "127.0.0.1:80",	 "unix:8403"	    },
	{"65535:h:65535",		  "127.0.0.1:65535", "h:65535"	      },
};

Test(forward_spec, the_forms_of_a_forward)
{
	char near[FORWARD_SHOWN_MAX], far[FORWARD_SHOWN_MAX];
	struct forward_spec s;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct hw_err err = HW_ERR_INIT;
		cr_assert(eq(int, forward_spec_local(&s, good[i].text, &err), 0), "%s: %s",
			good[i].text, hw_err_text(&err));
		forward_spec_near(near, &s);
		forward_spec_far(far, &s);
		cr_assert_str_eq(near, good[i].near);
		cr_assert_str_eq(far, good[i].far);
	}
}

Test(forward_spec, what_is_none_is_refused_with_a_reason)
{
	static char path[300] = "80:unix:/", socket[300] = "/";
	static const char *const bad[] = {"", ":", "80", "80:", "80:db", "80:db:", "80:db:x",
		"80:db:0", "80:db:65536", "80:db:1:2", "65536:db:1", "-1:db:1", "8o:db:1",
		":80:db:1", "name:80:db:1", "*:x:db:1", "80::1:80", "80:[::1:80", "80:[::1]80",
		"[::1:80:db:1", "80:a b:1", "80:unix:x", "80:unix:", "/x", "/x:", path, socket};
	struct forward_spec s;

	memset(path + 9, 'x', 200);
	memset(socket + 1, 'x', 200);
	strcat(socket, ":db:1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hw_err err = HW_ERR_INIT;
		cr_assert(eq(int, forward_spec_local(&s, bad[i], &err), HW_EUSAGE), "%s", bad[i]);
		cr_assert(gt(sz, strlen(hw_err_text(&err)), 10));
	}
}

Test(forward_spec, socks_stdio_and_a_port_alone)
{
	char out[FORWARD_SHOWN_MAX];
	struct forward_spec s;

	cr_assert(eq(int, forward_spec_socks(&s, "1080", NULL), 0));
	forward_spec_near(out, &s);
	cr_assert_str_eq(out, "127.0.0.1:1080");
	forward_spec_far(out, &s);
	cr_assert_str_eq(out, "socks5");
	cr_assert(eq(int, forward_spec_socks(&s, "[::1]:0", NULL), 0));
	cr_assert(eq(int, forward_spec_socks(&s, "1080:x", NULL), HW_EUSAGE));
	cr_assert(eq(int, forward_spec_socks(&s, "/run/x", NULL), HW_EUSAGE));
	cr_assert(eq(int, forward_spec_stdio(&s, "db:22", NULL), 0));
	cr_assert(eq(int, forward_spec_stdio(&s, "22", NULL), HW_EUSAGE));
	cr_assert(eq(int, forward_spec_port(&s, "5432", NULL), 0));
	forward_spec_far(out, &s);
	cr_assert_str_eq(out, "localhost:5432");
	cr_assert(eq(int, forward_spec_port(&s, "0", NULL), HW_EUSAGE));
	cr_assert(eq(int, forward_spec_port(&s, "web", NULL), HW_EUSAGE));
}
