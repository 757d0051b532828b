#include "relay/policy/value.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(policy_value, numbers_are_exact)
{
	struct value_decimal a, b;

	cr_assert(value_decimal(&a, "0.1") && a.whole == 0 && a.nano == 100000000);
	cr_assert(value_decimal(&a, "-0.5") && a.whole == -1 && a.nano == 500000000);
	cr_assert(value_decimal(&a, "-0") && a.whole == 0 && a.nano == 0);
	cr_assert(value_decimal(&a, "+7") && a.whole == 7);
	cr_assert(value_decimal(&a, "999999999999999999") &&
		value_decimal(&b, "999999999999999998"));
	cr_assert(eq(int, value_compare(&a, &b), 1));
	cr_assert(value_decimal(&a, "-1.5") && value_decimal(&b, "-1.25"));
	cr_assert(eq(int, value_compare(&a, &b), -1));
	cr_assert(value_decimal(&a, "01.50") && value_decimal(&b, "1.5"));
	cr_assert(eq(int, value_compare(&a, &b), 0));
}

Test(policy_value, what_is_no_number_is_refused)
{
	static const char *const wrong[] = {"", "+", "-", ".5", "1.", "1e3", "1 ", " 1", "0x10",
		"1,5", "--1", "1234567890123456789", "0.1234567890", "nan", "inf"};
	struct value_decimal d;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert(not(value_decimal(&d, wrong[i])), "%s", wrong[i]);
}

struct date_row {
	const char *text;
	int64_t seconds;
	int32_t nano;
};

Test(policy_value, dates_are_seconds_since_1970)
{
	static const struct date_row rows[] = {
		{"1970-01-01",		       0,		  0	   },
		{"2000-02-29",		       951782400,	  0	   },
		{"2026-11-26T03:21:30Z",	 1795663290,   0	      },
		{"2026-11-26T04:21:30+01:00",    1795663290,	  0	   },
		{"2026-11-25T21:51:30.25-05:30", 1795663290,   250000000},
		{"2026-11-26T03:21Z",	      1795663260,	  0	   },
		{"1969-12-31T23:59:59.5Z",	   -1,	       500000000},
		{"0001-01-01",		       -62135596800, 0	      },
		{"9999-12-31T23:59:59Z",	 253402300799, 0	},
		{"1795663290",		       1795663290,   0	    },
	};
	struct value_decimal d;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert(value_date(&d, rows[i].text), "%s", rows[i].text);
		cr_assert(eq(i64, d.whole, rows[i].seconds), "%s", rows[i].text);
		cr_assert(eq(i32, d.nano, rows[i].nano), "%s", rows[i].text);
	}
}

Test(policy_value, what_is_no_date_is_refused)
{
	static const char *const wrong[] = {"", "2026-1-1", "2026-02-29", "1900-02-29",
		"2026-13-01", "2026-00-01", "2026-04-31", "2026-01-00", "0000-01-01", "2026-01-01T",
		"2026-01-01Z", "2026-01-01T24:00Z", "2026-01-01T23:60Z", "2026-01-01T23:59:60Z",
		"2026-01-01T12:00:00" /* where? */, "2026-01-01T12:00:00+24:00",
		"2026-01-01T12:00:00+0100", "2026-01-01t12:00:00z", "2026-01-01T12:00:00.Z",
		"2026-01-01T12:00:00Z ", "20260101T120000Z", "tomorrow"};
	struct value_decimal d;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert(not(value_date(&d, wrong[i])), "%s", wrong[i]);
}

struct net_row {
	const char *net, *address;
	bool has;
};

Test(policy_value, networks_have_their_addresses)
{
	static const struct net_row rows[] = {
		{"10.0.0.0/8",	       "10.255.255.255",	 true },
		{"10.0.0.0/8",	       "11.0.0.0",	   false},
		{"10.1.2.3/8",	       "10.9.9.9",	   true }, /* bits beyond the prefix */
		{"10.0.0.1",	     "10.0.0.1",	 true },
		{"10.0.0.1",	     "10.0.0.2",	 false},
		{"10.0.0.0/31",		"10.0.0.1",	    true },
		{"10.0.0.0/31",		"10.0.0.2",	    false},
		{"192.168.1.128/25",    "192.168.1.127",    false},
		{"0.0.0.0/0",	      "255.255.255.255",	 true },
		{"0.0.0.0/0",	      "2001:db8::1",	     false},
		{"::/0",		 "2001:db8::1",	true },
		{"::/0",		 "10.0.0.1",	     false},
		{"2001:db8::/33",	  "2001:db8:7fff::1", true },
		{"2001:db8::/33",	  "2001:db8:8000::1", false},
		{"2001:db8::1",		"2001:DB8:0:0::1",  true },
		{"10.0.0.0/8",	       "::ffff:10.1.1.1",  true },
		{"::ffff:10.0.0.0/104", "10.1.1.1",	    true },
		{"::ffff:0:0/96",	  "1.2.3.4",	     true },
		{"::ffff:10.0.0.1",	    "10.0.0.1",		true },
		{"::10.0.0.1",	       "10.0.0.1",	   false},
	};
	struct value_net net, address;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert(value_net(&net, rows[i].net), "%s", rows[i].net);
		cr_assert(value_address(&address, rows[i].address), "%s", rows[i].address);
		cr_assert(value_net_has(&net, &address) == rows[i].has, "%s in %s", rows[i].address,
			rows[i].net);
	}
}

Test(policy_value, what_is_no_network_is_refused)
{
	static const char *const wrong[] = {"", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08",
		"10.0.0.0/-1", "10.0.0.0/8 ", "10.0.0.256", "010.0.0.1", "::/129", "::1%lo", "/8",
		"10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "1:2:3:4:5:6:7:8:9", "*",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8"};
	struct value_net net;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert(not(value_net(&net, wrong[i])), "%s", wrong[i]);
	cr_assert(not(value_address(&net, "10.0.0.0/8")));
}
