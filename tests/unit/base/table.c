#include "proto/base/table.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct table *
make(const char *const *cells, size_t n, size_t columns)
{
	struct table *t = table_new(columns);

	for (size_t i = 0; i < n; i++)
		cr_assert(eq(int, table_add(t, cells[i], i == 4 ? STYLE_GOOD : STYLE_PLAIN), 0));
	return t;
}

static void
prints(const char *const *cells, size_t n, size_t columns, bool color, const char *text)
{
	struct table *t = make(cells, n, columns);
	struct buf out;

	buf_init(&out, 4096);
	cr_assert(eq(int, table_print(&out, t, color), 0));
	cr_assert_str_eq(buf_str(&out), text);
	buf_fini(&out);
	table_free(t);
}

Test(table, columns_are_as_wide_as_they_look)
{
	static const char *const cells[] = {"NAME", "STATUS", "OS",
		"\xe7\xb6\xb2\xe7\xb6\xb2\xe7\xb6\xb2", "online", "debian 12", "a", NULL, "x"};

	prints(cells, 9, 3, false,
		"NAME    STATUS  OS\n\xe7\xb6\xb2\xe7\xb6\xb2\xe7\xb6\xb2  online  debian 12\na               x\n");
}

Test(table, no_blanks_at_a_line_s_end)
{
	static const char *const cells[] = {"A", "B", "long", NULL};

	prints(cells, 4, 2, false, "A     B\nlong\n");
}

Test(table, colours_do_not_move_columns)
{
	static const char *const cells[] = {"A", "B", "C", "x", "on", "y"};

	prints(cells, 6, 3, true, "A  B   C\nx  \033[32mon\033[0m  y\n");
}

Test(table, a_name_with_control_bytes_stays_in_its_cell)
{
	static const char *const cells[] = {"a\033]0;x\007", "b"};

	prints(cells, 2, 2, true, "a\\x1b]0;x\\x07  b\n");
}
